//! `{{default VALUE "words instead"}}`: for what may be unknown, attributes that not everybody has included.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson,
};

pub struct Default;

impl HelperDef for Default {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let first = helper
            .param(0)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex("default", 0))?;
        let second = helper
            .param(1)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex("default", 1))?;
        let value = first.value();
        let empty = first.is_value_missing()
            || value.is_null()
            || value.as_str().is_some_and(|text| text.trim().is_empty());
        Ok(ScopedJson::Derived(if empty {
            second.value().clone()
        } else {
            value.clone()
        }))
    }
}
