//! How long a rendering may take. Depth and output are bounded elsewhere; what loops over much and says nothing is not, so
//! every body of a template begins with a look at the time.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason, Template,
    template::{HelperTemplate, TemplateElement, TemplateMapping},
};

/// A part is cut after this long; an honest one takes about a millisecond.
pub const PART_TIME: Duration = Duration::from_secs(2);

/// The name of the look; authors cannot write it, since it is no name of the language.
const LOOK: &str = "look-at-the-time";

thread_local! {
    // A rendering runs on one thread from beginning to end, and its helpers are given nothing of ours.
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs a rendering that ends with an error (see [`is_overdue`]) when it is not through after `limit`.
pub fn limited<T>(limit: Duration, render: impl FnOnce() -> T) -> T {
    let outer = UNTIL.replace(Some(Instant::now() + limit));
    let done = render();
    UNTIL.set(outer);
    done
}

/// Whether an error came from a rendering that took too long.
pub fn is_overdue(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// Teaches an engine to look.
pub fn teach(engine: &mut Handlebars<'static>) {
    engine.register_helper(LOOK, Box::new(Look));
}

/// The template with a look at the beginning of each of its bodies: its own, and those of its blocks.
pub fn timed(mut template: Template) -> Template {
    if let Ok(look) = Template::compile(&format!("{{{{{LOOK}}}}}")) {
        put_in(&mut template, &look.elements);
    }
    template
}

fn put_in(template: &mut Template, look: &[TemplateElement]) {
    let blocks = template.elements.iter_mut().filter_map(|element| match element {
        TemplateElement::HelperBlock(block) => Some(block),
        _ => None,
    });
    for block in blocks {
        let HelperTemplate {
            template, inverse, ..
        } = &mut **block;
        for body in [template, inverse].into_iter().flatten() {
            put_in(body, look);
        }
    }
    // Elements and their places in the source stand side by side.
    let place: Option<TemplateMapping> = template.mapping.first().cloned();
    template.elements.splice(0..0, look.iter().cloned());
    template.mapping.splice(0..0, place);
}

struct Look;

impl HelperDef for Look {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        match UNTIL.get() {
            Some(until) if Instant::now() > until => {
                Err(RenderErrorReason::IOError(io::ErrorKind::TimedOut.into()).into())
            }
            _ => Ok(()),
        }
    }
}
