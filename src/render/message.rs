//! One message for one person: language chosen, parts rendered, links counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    context::RenderContext,
    data::{Data, DataError},
    document,
    links::{self, LinkMaker},
    plaintext,
    registry::Registry,
};
use crate::domain::cadence::ChannelKind;
use crate::domain::locale;

/// What is to be rendered.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Name of the template.
    pub template: &'a str,
    /// How it travels.
    pub channel: ChannelKind,
    /// The reader's language: the contact's, for a task the owner's.
    pub locale: &'a str,
    /// The language for those whose own there is no content in.
    pub default_locale: &'a str,
}

/// A rendered message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rendered {
    /// A mail.
    Email(RenderedEmail),
    /// A text message.
    Sms(RenderedSms),
    /// A task.
    Task(RenderedTask),
}

/// Words of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedEmail {
    /// Language of the content.
    pub locale: String,
    /// One line, no control characters.
    pub subject: String,
    /// HTML body, when the template has one.
    pub html: Option<String>,
    /// Plain body.
    pub text: String,
}

/// Words of a text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedSms {
    /// Language of the content.
    pub locale: String,
    /// The message.
    pub text: String,
}

/// Words of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedTask {
    /// Language of the content.
    pub locale: String,
    /// One line.
    pub title: String,
    /// The rest; may be empty.
    pub body: String,
}

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No template of that name.
    #[error("there is no template `{0}`")]
    UnknownTemplate(String),
    /// No content in a language this person reads.
    #[error("template `{template}` has no content for a reader of {locale}")]
    NoLanguage {
        /// The template.
        template: String,
        /// The language wanted.
        locale: String,
    },
    /// The template says nothing on this way.
    #[error("template `{template}` in {locale} has nothing to send as {channel}")]
    NoPart {
        /// The template.
        template: String,
        /// The language chosen.
        locale: String,
        /// The way wanted.
        channel: ChannelKind,
    },
    /// A variable this person has no value of; an attribute, as a rule.
    #[error("{file}:{line}:{column}: `{variable}` is not known of this contact")]
    Missing {
        /// Its name.
        variable: String,
        /// Where it is used.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// More output than a part may have.
    #[error("{file}: the rendered part is bigger than {limit} bytes")]
    TooBig {
        /// Where it was noticed.
        file: String,
        /// The bound.
        limit: usize,
    },
    /// More work than a part may make.
    #[error("{file}: rendering the part took longer than {} s", limit.as_secs())]
    TooSlow {
        /// Where it was noticed.
        file: String,
        /// The bound.
        limit: Duration,
    },
    /// A formatter refused its value.
    #[error("{file}:{line}:{column}: {reason}")]
    Failed {
        /// Where.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Why.
        reason: String,
    },
    /// The rendered part says nothing.
    #[error("{file}: nothing is left to say when rendered for this contact")]
    Empty {
        /// The part.
        file: String,
    },
    /// Facts that cannot be rendered from.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Renders one message. The same inputs give the same message.
pub fn render(
    registry: &Registry,
    wanted: Wanted<'_>,
    context: &RenderContext,
    links: &dyn LinkMaker,
) -> Result<Rendered, RenderError> {
    let Wanted {
        template, channel, ..
    } = wanted;
    if !registry.has(template) {
        return Err(RenderError::UnknownTemplate(template.to_owned()));
    }
    let available = registry.locales(template);
    let locale = locale::choose(wanted.locale, wanted.default_locale, available).ok_or_else(|| {
        RenderError::NoLanguage {
            template: template.to_owned(),
            locale: wanted.locale.to_owned(),
        }
    })?;
    if !registry.channels(template, locale).contains(&channel) {
        let (template, locale) = (template.to_owned(), locale.to_owned());
        return Err(RenderError::NoPart {
            template,
            locale,
            channel,
        });
    }
    let work = Work {
        registry,
        template,
        locale,
        data: Data::of(context, locale)?,
        links,
    };
    match channel {
        ChannelKind::Email => work.email(context).map(Rendered::Email),
        ChannelKind::Sms => work.sms().map(Rendered::Sms),
        ChannelKind::Task => work.task().map(Rendered::Task),
    }
}

struct Work<'a> {
    registry: &'a Registry,
    template: &'a str,
    locale: &'a str,
    data: Data,
    links: &'a dyn LinkMaker,
}

impl Work<'_> {
    fn part(&self, part: &str) -> Result<String, RenderError> {
        self.registry
            .part(self.template, self.locale, part, self.data.context())
    }

    fn file(&self, part: &str) -> String {
        format!("{}/{}/{part}.hbs", self.template, self.locale)
    }

    /// A part of plain text with its links counted; it has to say something.
    fn plain(&self, part: &str) -> Result<String, RenderError> {
        let text = plaintext::tidy(&links::in_text(&self.part(part)?, self.links));
        if text.is_empty() {
            Err(RenderError::Empty {
                file: self.file(part),
            })
        } else {
            Ok(text)
        }
    }

    fn email(mut self, context: &RenderContext) -> Result<RenderedEmail, RenderError> {
        let subject = one_line(&self.part("subject")?);
        if subject.is_empty() {
            return Err(RenderError::Empty {
                file: self.file("subject"),
            });
        }
        let own: Vec<&str> = [&context.links.unsubscribe, &context.links.preferences]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        let html = if self.registry.has_part(self.template, self.locale, "html") {
            Some(self.html(&subject, &own)?)
        } else {
            None
        };
        let text = match &html {
            Some(html) if !self.registry.has_part(self.template, self.locale, "text") => {
                plaintext::from_html(html).map_err(|error| self.failed("html", &error.to_string()))?
            }
            _ => self.plain("text")?,
        };
        let html = match (html, self.links.pixel()) {
            (Some(html), Some(address)) => Some(document::with_pixel(&html, &address)),
            (html, _) => html,
        };
        Ok(RenderedEmail {
            locale: self.locale.to_owned(),
            subject,
            html,
            text,
        })
    }

    fn html(&mut self, subject: &str, own: &[&str]) -> Result<String, RenderError> {
        let body = self.part("html")?;
        let whole = match self.registry.layout(self.template, self.locale) {
            Some(layout) => {
                let (registry, locale) = (self.registry, self.locale);
                self.data
                    .in_layout(subject, &body, |data| registry.around(layout, locale, data))?
            }
            None => body,
        };
        let inlined = self
            .registry
            .moulds
            .work(&whole, document::inline)
            .map_err(|error| self.failed("html", &error.to_string()))?;
        Ok(document::link(&inlined, own, self.links))
    }

    fn sms(&self) -> Result<RenderedSms, RenderError> {
        // No-break spaces are outside GSM-7: one of them would double the price of the message.
        let text = self.plain("sms")?.replace(['\u{a0}', '\u{202f}'], " ");
        Ok(RenderedSms {
            locale: self.locale.to_owned(),
            text: text.trim().to_owned(),
        })
    }

    fn task(&self) -> Result<RenderedTask, RenderError> {
        let text = self.plain("task")?;
        let (title, body) = text.split_once('\n').unwrap_or((&text, ""));
        Ok(RenderedTask {
            locale: self.locale.to_owned(),
            title: one_line(title),
            body: body.trim().to_owned(),
        })
    }

    fn failed(&self, part: &str, reason: &str) -> RenderError {
        RenderError::Failed {
            file: self.file(part),
            line: 1,
            column: 1,
            reason: reason.to_owned(),
        }
    }
}

/// One line without control characters: line breaks in a name do not reach a header.
pub(super) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}
