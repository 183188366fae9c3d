//! The compiled templates: what they hold, and how one part is rendered.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::{Context, Handlebars, RenderErrorReason};

use super::{
    context::OPEN,
    limits::{self, Capped},
    message::RenderError,
    mould::Moulds,
    timer,
    walk::Findings,
};
use crate::config::problem::{Problem, nearest};
use crate::domain::cadence::ChannelKind;
use crate::domain::locale;
use crate::domain::registered::RegisteredText;

/// All templates, compiled, by language.
pub struct Registry {
    pub(super) languages: BTreeMap<String, Language>,
    pub(super) templates: BTreeMap<String, BTreeMap<String, Compiled>>,
    pub(super) moulds: Moulds,
}

/// The two engines of one language, with that language's partials.
pub(super) struct Language {
    pub(super) html: Handlebars<'static>,
    pub(super) text: Handlebars<'static>,
}

/// What is known of one template in one language.
#[derive(Default)]
pub(super) struct Compiled {
    pub(super) parts: BTreeSet<&'static str>,
    pub(super) layout: Option<String>,
    pub(super) uses: BTreeMap<&'static str, Findings>,
    pub(super) registered: BTreeMap<String, RegisteredText>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("templates", &self.templates.keys())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Names of all templates, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// Whether there is such a template.
    #[must_use]
    pub fn has(&self, template: &str) -> bool {
        self.templates.contains_key(template)
    }

    /// The template name probably meant.
    #[must_use]
    pub fn suggest(&self, written: &str) -> Option<String> {
        nearest(written, self.names())
    }

    /// The languages of a template, in order.
    pub fn locales(&self, template: &str) -> impl Iterator<Item = &str> + Clone {
        self.templates
            .get(template)
            .into_iter()
            .flat_map(|tags| tags.keys().map(String::as_str))
    }

    /// What a template can be sent as in its language `locale`.
    #[must_use]
    pub fn channels(&self, template: &str, locale: &str) -> Vec<ChannelKind> {
        let compiled = self.compiled(template, locale);
        ChannelKind::ALL
            .into_iter()
            .filter(|channel| compiled.is_some_and(|one| one.carries(*channel)))
            .collect()
    }

    /// Every variable a template uses in any of its languages and parts, its layout's included, sorted. Attributes are
    /// named down to their own name, `contact.attr.NAME`.
    pub fn variables(&self, template: &str) -> BTreeSet<String> {
        let tags = self
            .templates
            .get(template)
            .into_iter()
            .flat_map(BTreeMap::values);
        tags.flat_map(|one| one.uses.values())
            .flat_map(|findings| findings.variables.keys())
            .map(|path| match attribute(path) {
                Some(name) => format!("{OPEN}.{name}"),
                None => path.clone(),
            })
            .collect()
    }

    /// What stands against using a template for `channel`: no such template or part, no content in the default
    /// language, or, when `opt_out` is wanted (marketing and care), no way out of further messages in some language:
    /// a mail has to use `links.unsubscribe`, a text message that or the partial `sms-opt-out`.
    pub fn check_use(
        &self,
        template: &str,
        channel: ChannelKind,
        default_locale: &str,
        opt_out: bool,
    ) -> Vec<Problem> {
        let Some(tags) = self.templates.get(template) else {
            return vec![
                Problem::of_file(template, format!("there is no template `{template}`"))
                    .suggest_near(template, self.names()),
            ];
        };
        let mut problems = Vec::new();
        if locale::nearest(default_locale, tags.keys().map(String::as_str)).is_none() {
            let reason = format!("has no content in the default language {default_locale}");
            problems.push(Problem::of_file(template, reason));
        }
        for (tag, compiled) in tags {
            let place = format!("{template}/{tag}");
            if !compiled.carries(channel) {
                problems.push(Problem::of_file(
                    &place,
                    format!("has nothing to send as {channel}"),
                ));
            } else if opt_out {
                problems.extend(compiled.without_way_out(channel).map(|part| {
                    Problem::of_file(
                        format!("{place}/{part}.hbs"),
                        "marketing and care need a way out: neither part nor layout uses `links.unsubscribe`",
                    )
                }));
            }
        }
        problems
    }

    /// What is registered of a template in its language `locale`, by the name of the sender or provider.
    #[must_use]
    pub fn registered(&self, template: &str, locale: &str) -> Option<&BTreeMap<String, RegisteredText>> {
        self.compiled(template, locale).map(|one| &one.registered)
    }

    fn compiled(&self, template: &str, locale: &str) -> Option<&Compiled> {
        self.templates.get(template)?.get(locale)
    }

    /// Whether there is such a part in this language.
    pub(super) fn has_part(&self, template: &str, locale: &str, part: &str) -> bool {
        self.compiled(template, locale)
            .is_some_and(|one| one.parts.contains(part))
    }

    /// The layout an HTML part goes into.
    pub(super) fn layout(&self, template: &str, locale: &str) -> Option<&str> {
        self.compiled(template, locale)?.layout.as_deref()
    }

    /// Renders one part.
    pub(super) fn part(
        &self,
        template: &str,
        locale: &str,
        part: &str,
        data: &Context,
    ) -> Result<String, RenderError> {
        let (html, limit) = match part {
            "html" => (true, limits::HTML_BYTES),
            "subject" => (false, limits::SUBJECT_BYTES),
            "sms" => (false, limits::SMS_BYTES),
            _ => (false, limits::TEXT_BYTES),
        };
        let file = format!("{template}/{locale}/{part}.hbs");
        self.run(locale, html, &part_key(template, part), &file, limit, data)
    }

    /// Renders a layout around what its data holds as the body.
    pub(super) fn around(&self, layout: &str, locale: &str, data: &Context) -> Result<String, RenderError> {
        self.run(
            locale,
            true,
            &layout_key(layout),
            &layout_file(layout),
            limits::HTML_BYTES,
            data,
        )
    }

    fn run(
        &self,
        locale: &str,
        html: bool,
        key: &str,
        file: &str,
        limit: usize,
        data: &Context,
    ) -> Result<String, RenderError> {
        let failed = |reason: &str| RenderError::Failed {
            file: file.to_owned(),
            line: 1,
            column: 1,
            reason: reason.to_owned(),
        };
        let language = self
            .languages
            .get(locale)
            .ok_or_else(|| failed("no such language"))?;
        let engine = if html { &language.html } else { &language.text };
        let mut out = Capped::new(limit);
        let rendered = timer::limited(timer::PART_TIME, || {
            engine.render_with_context_to_write(key, data, &mut out)
        });
        rendered.map_err(|error| {
            let place = (error.line_no.unwrap_or(1), error.column_no.unwrap_or(1));
            let file = error.template_name.as_deref().unwrap_or(file).to_owned();
            match error.reason() {
                RenderErrorReason::IOError(io) if Capped::is_full(io) => RenderError::TooBig { file, limit },
                RenderErrorReason::IOError(io) if timer::is_overdue(io) => RenderError::TooSlow {
                    file,
                    limit: timer::PART_TIME,
                },
                RenderErrorReason::MissingVariable(name) => RenderError::Missing {
                    variable: name.clone().unwrap_or_else(|| "a value".to_owned()),
                    file,
                    line: place.0,
                    column: place.1,
                },
                reason => RenderError::Failed {
                    file,
                    line: place.0,
                    column: place.1,
                    reason: reason.to_string(),
                },
            }
        })?;
        out.into_string().map_err(|error| failed(&error.to_string()))
    }
}

impl Compiled {
    /// Names of the attributes this uses.
    pub(super) fn attributes(&self) -> impl Iterator<Item = String> {
        let uses = self.uses.values().flat_map(|findings| findings.variables.keys());
        uses.filter_map(|path| attribute(path)).map(str::to_owned)
    }

    fn carries(&self, channel: ChannelKind) -> bool {
        match channel {
            ChannelKind::Email => self.parts.contains("html") || self.parts.contains("text"),
            ChannelKind::Sms => self.parts.contains("sms"),
            ChannelKind::Task => self.parts.contains("task"),
        }
    }

    /// The parts sent as `channel` that offer no way out of further messages.
    fn without_way_out(&self, channel: ChannelKind) -> impl Iterator<Item = &'static str> {
        let sent: &[&'static str] = match channel {
            ChannelKind::Email => &["html", "text"],
            ChannelKind::Sms => &["sms"],
            ChannelKind::Task => &[],
        };
        sent.iter().copied().filter(|part| {
            self.uses.get(part).is_some_and(|findings| {
                !findings.variables.contains_key("links.unsubscribe")
                    && !findings.partials.contains("sms-opt-out")
            })
        })
    }
}

/// The attribute that a path stands for or below.
fn attribute(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(OPEN)?.strip_prefix('.')?;
    rest.split('.').next()
}

pub(super) fn part_key(template: &str, part: &str) -> String {
    format!("{template}/{part}.hbs")
}

pub(super) fn layout_key(name: &str) -> String {
    format!("_layouts/{name}")
}

pub(super) fn layout_file(name: &str) -> String {
    format!("_layouts/{name}.hbs")
}
