//! Whether every text that a mainland provider has to know is named, and named so that the provider understands it.

use crate::config::problem::nearest;
use crate::config::source::Source;
use crate::config::{Problem, Sender, Settings, SmsProvider};
use crate::domain::cadence::{Cadence, ChannelKind};
use crate::domain::registered::{Blanks, RegisteredText};
use crate::render::Registry;

/// Senders by name with their providers, those alone that send registered texts.
fn registering(settings: &Settings) -> impl Iterator<Item = (&Sender, &SmsProvider)> {
    let with_provider = |sender| Some((sender, Sender::sms(sender)?));
    settings
        .senders
        .iter()
        .filter_map(with_provider)
        .filter(|(_, provider)| provider.registers())
}

/// What is wrong with the `sms.toml` files by themselves: a name that is no provider and no sender, blanks in a form that
/// the provider does not have.
pub fn texts(settings: &Settings, registry: &Registry) -> Vec<Problem> {
    let mut problems = Vec::new();
    for template in registry.names() {
        for locale in registry.locales(template) {
            for (carrier, text) in registry.registered(template, locale).into_iter().flatten() {
                let problem = |reason: String| {
                    Problem::of_file(format!("{template}/{locale}/sms.toml"), reason)
                        .of_field(carrier.clone())
                };
                let of_sender = registering(settings).find(|(sender, _)| sender.name == *carrier);
                let known = SmsProvider::REGISTERING.into_iter();
                let provider = match of_sender {
                    Some((_, provider)) => provider.name(),
                    None if known.clone().any(|name| name == carrier) => carrier,
                    None => {
                        let names =
                            known.chain(registering(settings).map(|(sender, _)| sender.name.as_str()));
                        let reason = "is neither a provider that registers texts (aliyun, tencent) nor a sender at one";
                        problems.push(problem(reason.to_owned()).suggest(nearest(carrier, names)));
                        continue;
                    }
                };
                problems.extend(form(provider, text).map(|reason| problem(reason.to_owned())));
            }
        }
    }
    problems
}

fn form(provider: &str, text: &RegisteredText) -> Option<&'static str> {
    match (provider, &text.variables) {
        (_, blanks) if *blanks == Blanks::default() => None,
        ("aliyun", Blanks::Listed(_)) => {
            Some("Aliyun's variables have names: variables = { name = \"{{contact.name}}\" }")
        }
        ("tencent", Blanks::Named(_)) => {
            Some("Tencent's variables have places: variables = [\"{{contact.name}}\"]")
        }
        _ => None,
    }
}

/// A step that goes out over such a sender needs its text registered in every language of the template.
pub fn steps(
    source: &Source,
    cadence: &Cadence,
    settings: &Settings,
    registry: &Registry,
    problems: &mut Vec<Problem>,
) {
    for (position, step) in cadence.steps.iter().enumerate() {
        let Some(sender) = settings.sender(ChannelKind::Sms, step.sender.as_deref()) else {
            continue;
        };
        let provider = registering(settings).find(|(other, _)| other.name == sender.name);
        let Some((_, provider)) = provider.filter(|_| step.channel.as_slice().contains(&ChannelKind::Sms))
        else {
            continue;
        };
        for locale in registry.locales(&step.template) {
            let named = registry
                .registered(&step.template, locale)
                .is_some_and(|texts| texts.contains_key(&sender.name) || texts.contains_key(provider.name()));
            if !named
                && registry
                    .channels(&step.template, locale)
                    .contains(&ChannelKind::Sms)
            {
                let reason = format!(
                    "sender `{}` sends registered texts only: {}/{locale}/sms.toml must name one under [{}] or [{}]",
                    sender.name,
                    step.template,
                    provider.name(),
                    sender.name
                );
                problems.push(source.problem_at(&["steps", &position.to_string(), "template"], reason));
            }
        }
    }
}
