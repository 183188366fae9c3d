//! The shipped templates and the reference, as a company would use them.

use std::path::Path;

use kith::config::Problem;
use kith::domain::cadence::ChannelKind;
use kith::render::{
    Parts, Registry, RenderContext, Rendered, TemplateSet, TemplateSource, Untracked, Wanted,
    preview::preview, render,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> Registry {
    let set = TemplateSet::load(&root().join("templates")).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Registry::compile(&set).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .fold(String::new(), |all, problem| all + &problem.to_string() + "\n")
}

/// Every template in one language, as text.
fn told(locale: &str, context: &RenderContext) -> String {
    let registry = shipped();
    let told = registry.names().flat_map(|name| {
        let preview = preview(&registry, name, locale, "en", context).expect("a preview");
        preview
            .messages
            .into_iter()
            .map(move |message| tell(name, message))
    });
    told.collect()
}

fn tell(name: &str, message: Rendered) -> String {
    match message {
        Rendered::Email(mail) => format!("=== {name} email\nSubject: {}\n\n{}\n", mail.subject, mail.text),
        Rendered::Sms(sms) => format!("=== {name} sms\n{}\n\n", sms.text),
        Rendered::Task(task) => format!("=== {name} task\n{}\n--\n{}\n\n", task.title, task.body),
    }
}

/// Somebody of whom only the name is known.
fn stranger() -> RenderContext {
    let sample = RenderContext::sample();
    let mut context = RenderContext {
        now: sample.now,
        links: sample.links,
        ..RenderContext::default()
    };
    context.contact.name = "Ada Lin".into();
    context.company.name = "Company Ltd".into();
    context
}

#[test]
fn shipped_templates_in_english() {
    insta::assert_snapshot!(told("en", &RenderContext::sample()));
}

#[test]
fn shipped_templates_in_simplified_chinese() {
    let mut context = RenderContext::sample();
    context.contact.name = "林小雨".into();
    context.contact.locale = "zh-CN".into();
    context.account.name = Some("海东印务".into());
    context.lead.product = Some("排产模块".into());
    context.lead.waiting_for = Some("预算审批".into());
    context.last_purchase.product = Some("订单模块".into());
    context.owner.name = Some("陈立".into());
    context.company.name = "某某公司".into();
    context.birthday.calendar = Some("lunar".into());
    insta::assert_snapshot!(told("zh-CN", &context));
}

#[test]
fn shipped_templates_for_a_person_of_whom_little_is_known() {
    insta::assert_snapshot!(told("en", &stranger()));
    told("zh-Hans", &stranger());
}

#[test]
fn a_whole_mail_as_html() {
    let wanted = Wanted {
        template: "b-pricing",
        channel: ChannelKind::Email,
        locale: "en",
        default_locale: "en",
    };
    let rendered = render(&shipped(), wanted, &RenderContext::sample(), &Untracked).unwrap();
    let Rendered::Email(mail) = rendered else {
        panic!("not a mail")
    };
    insta::assert_snapshot!(mail.html.unwrap());
}

#[test]
fn every_shipped_message_to_a_customer_has_a_way_out_in_both_languages() {
    let registry = shipped();
    for name in registry.names() {
        assert_eq!(
            registry.locales(name).collect::<Vec<_>>(),
            ["en", "zh-Hans"],
            "{name}"
        );
        for channel in registry.channels(name, "en") {
            let problems = registry.check_use(name, channel, "en", true);
            assert!(problems.is_empty(), "{}", lines(&problems));
        }
    }
}

/// A fenced block of the reference: what it is, where it starts, what it says.
struct Fence {
    kind: String,
    line: usize,
    text: String,
}

fn fences(markdown: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (at, line) in markdown.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                open = Some(Fence {
                    kind: kind.to_owned(),
                    line: at + 1,
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => fences.extend(open.take()),
            (Some(fence), None) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    fences
}

#[test]
fn the_examples_of_the_reference_do_what_it_says() {
    let markdown = std::fs::read_to_string(root().join("docs/templates.md")).unwrap();
    let fences = fences(&markdown);
    let mut tried = 0;
    for pair in fences.windows(2) {
        let [example, says] = pair else { continue };
        let mut words = example.kind.split(' ');
        if words.next() != Some("hbs") {
            continue;
        }
        let locale = words.next().unwrap_or("en");
        let at = format!("docs/templates.md:{}", example.line);
        let mut set = TemplateSet::default();
        let parts = Parts {
            task: Some(example.text.clone()),
            ..Parts::default()
        };
        let locales = [(locale.to_owned(), parts)].into();
        set.templates.insert(
            "example".into(),
            TemplateSource {
                name: "example".into(),
                locales,
            },
        );
        let expected = says.text.trim_end();
        match (says.kind.as_str(), Registry::compile(&set)) {
            ("text", Ok(registry)) => {
                let wanted = Wanted {
                    template: "example",
                    channel: ChannelKind::Task,
                    locale,
                    default_locale: locale,
                };
                let rendered = render(&registry, wanted, &RenderContext::sample(), &Untracked);
                let Ok(Rendered::Task(task)) = rendered else {
                    panic!("{at}: {rendered:?}")
                };
                assert_eq!(
                    format!("{}\n{}", task.title, task.body).trim_end(),
                    expected,
                    "{at}"
                );
            }
            ("refused", Err(problems)) => assert_eq!(lines(&problems).trim_end(), expected, "{at}"),
            ("text", Err(problems)) => panic!("{at}: {}", lines(&problems)),
            (kind, _) => panic!("{at}: an example is followed by text or refused, not by `{kind}`"),
        }
        tried += 1;
    }
    assert!(tried >= 10, "only {tried} examples were found");
}

#[test]
fn the_reference_names_every_variable() {
    let markdown = std::fs::read_to_string(root().join("docs/templates.md")).unwrap();
    for (name, meaning) in kith::render::context::VARIABLES {
        let row = format!("| `{name}` | {meaning} |");
        assert!(markdown.contains(&row), "docs/templates.md lacks the row: {row}");
    }
}
