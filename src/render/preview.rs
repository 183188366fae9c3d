//! Everything a template says to one person, for a look before anything is sent.

use serde::Serialize;

use super::{
    context::RenderContext,
    links::Untracked,
    message::{RenderError, Rendered, Wanted, render},
    registry::Registry,
};
use crate::domain::cadence::ChannelKind;

/// One look: the messages a template has, with plain links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// What would be sent, in the order email, sms, task; ways the template does not serve are left out.
    pub messages: Vec<Rendered>,
}

/// Renders a template on every way it serves for a reader of `locale`.
pub fn preview(
    registry: &Registry,
    template: &str,
    locale: &str,
    default_locale: &str,
    context: &RenderContext,
) -> Result<Preview, RenderError> {
    let mut messages = Vec::new();
    for channel in ChannelKind::ALL {
        let wanted = Wanted {
            template,
            channel,
            locale,
            default_locale,
        };
        match render(registry, wanted, context, &Untracked) {
            Ok(message) => messages.push(message),
            Err(RenderError::NoPart { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Preview { messages })
}
