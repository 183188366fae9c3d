//! `{{lookup GROUP KEY}}`: what stands in a group or list under a name or number that cannot be written in a tag.
//! What is not there counts as an unknown name: an error alone, and something else inside `default`.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonValue, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};

pub struct Lookup;

impl HelperDef for Lookup {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let group = helper
            .param(0)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex("lookup", 0))?;
        let key = helper
            .param(1)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex("lookup", 1))?;
        let found = match (group.value(), key.value()) {
            (JsonValue::Object(map), JsonValue::String(name)) => map.get(name),
            (JsonValue::Array(list), JsonValue::Number(number)) => number
                .as_u64()
                .and_then(|at| list.get(usize::try_from(at).unwrap_or(usize::MAX))),
            _ => None,
        };
        Ok(found.map_or(ScopedJson::Missing, |value| ScopedJson::Derived(value.clone())))
    }
}
