//! What a mainland provider is told instead of a text: the one it registered, with its blanks filled.

use super::rules::Rules;
use crate::config::{Sender, Settings};
use crate::domain::cadence::ChannelKind;
use crate::domain::registered::RegisteredText;
use crate::render::{LinkMaker, RenderContext, registered};

/// The registered text of a message over `sender`; `None` where the sender's provider takes any text. `place` is template
/// and language. The error is for people: the template has none for this sender, or a blank cannot be filled.
pub fn fill(
    settings: &Settings,
    rules: &Rules,
    sender: &str,
    place: (&str, &str),
    context: &RenderContext,
    links: &dyn LinkMaker,
) -> Result<Option<RegisteredText>, String> {
    let provider = settings
        .sender(ChannelKind::Sms, Some(sender))
        .and_then(Sender::sms)
        .filter(|provider| provider.registers());
    let Some(provider) = provider else { return Ok(None) };
    let carriers = [sender, provider.name()];
    let filled =
        registered::fill(&rules.registry, place, &carriers, context, links).map_err(|e| e.to_string())?;
    let (template, locale) = place;
    match filled {
        Some(text) => Ok(Some(text)),
        None => Err(format!(
            "{template}/{locale}/sms.toml names no registered text for sender {sender}"
        )),
    }
}
