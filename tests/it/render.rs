//! The template language: what it escapes, what it refuses, and where.

use std::cell::RefCell;

use kith::config::Problem;
use kith::domain::cadence::ChannelKind;
use kith::render::{
    LinkMaker, Parts, Registry, RenderContext, RenderError, Rendered, TemplateSet, TemplateSource, Untracked,
    Wanted, limits, render,
};

/// A set with one template `t` in English whose parts are given by name.
fn set(parts: &[(&str, &str)]) -> TemplateSet {
    let mut set = TemplateSet::default();
    set.shared.layouts.insert(
        "plain".into(),
        "<html><body>{{body}}{{> footer}}</body></html>".into(),
    );
    set.shared.partials.insert(
        "footer".into(),
        "<a href=\"{{links.unsubscribe}}\">out</a>".into(),
    );
    let mut source = Parts::default();
    for (part, text) in parts {
        let text = Some((*text).to_owned());
        match *part {
            "subject" => source.subject = text,
            "html" => source.html = text,
            "text" => source.text = text,
            "sms" => source.sms = text,
            "task" => source.task = text,
            other => panic!("no part {other}"),
        }
    }
    let locales = [("en".to_owned(), source)].into();
    set.templates.insert(
        "t".into(),
        TemplateSource {
            name: "t".into(),
            locales,
        },
    );
    set
}

fn compiled(parts: &[(&str, &str)]) -> Registry {
    Registry::compile(&set(parts)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn refused(parts: &[(&str, &str)]) -> Vec<String> {
    Registry::compile(&set(parts))
        .expect_err("to be refused")
        .iter()
        .map(Problem::to_string)
        .collect()
}

fn wanted(channel: ChannelKind) -> Wanted<'static> {
    Wanted {
        template: "t",
        channel,
        locale: "en",
        default_locale: "en",
    }
}

fn sms(text: &str, context: &RenderContext) -> Result<String, RenderError> {
    match render(
        &compiled(&[("sms", text)]),
        wanted(ChannelKind::Sms),
        context,
        &Untracked,
    )? {
        Rendered::Sms(sms) => Ok(sms.text),
        other => panic!("{other:?}"),
    }
}

/// Numbers links, remembers targets, shows opens.
#[derive(Default)]
struct Counting(RefCell<Vec<String>>);

impl LinkMaker for Counting {
    fn track(&self, target: &str, tag: Option<&str>) -> String {
        let mut seen = self.0.borrow_mut();
        seen.push(format!("{target}|{}", tag.unwrap_or_default()));
        format!("https://t.example/{}", seen.len())
    }

    fn pixel(&self) -> Option<String> {
        Some("https://t.example/open".into())
    }
}

#[test]
fn html_escapes_and_plain_parts_do_not() {
    let mut context = RenderContext::sample();
    context.contact.name = "<b>\"A\" & 'B'</b>\r\nBcc: x\u{f8f0}".into();
    let registry = compiled(&[
        ("subject", "For {{contact.name}}"),
        ("html", "<p title=\"{{contact.name}}\">{{contact.name}}</p>"),
        ("text", "{{contact.name}}"),
    ]);
    let Rendered::Email(mail) = render(&registry, wanted(ChannelKind::Email), &context, &Untracked).unwrap()
    else {
        panic!("not a mail");
    };
    assert_eq!(mail.subject, "For <b>\"A\" & 'B'</b> Bcc: x");
    assert!(mail.text.starts_with("<b>\"A\" & 'B'</b>"));
    let html = mail.html.unwrap();
    assert!(
        html.contains("title=\"&lt;b&gt;&quot;A&quot;") && html.contains(">&lt;b&gt;"),
        "{html}"
    );
    assert!(html.contains("out</a>"), "the layout is around it: {html}");
}

#[test]
fn unknown_names_are_found_before_anything_is_sent() {
    let lines = refused(&[(
        "sms",
        "Hi {{contact.nme}}\n{{#if lead.prodct}}x{{/if}}{{dat now}}{{> fotter}}{{#wth lead}}{{/wth}}",
    )]);
    let all = lines.join("\n");
    assert!(
        all.contains("t/en/sms.hbs:1:4: unknown variable `contact.nme` (did you mean `contact.name`?)"),
        "{all}"
    );
    assert!(
        all.contains("t/en/sms.hbs:2:1: unknown variable `lead.prodct` (did you mean `lead.product`?)"),
        "{all}"
    );
    assert!(
        all.contains("unknown helper `dat` (did you mean `date`?)"),
        "{all}"
    );
    assert!(
        all.contains("unknown partial `fotter` (did you mean `footer`?)"),
        "{all}"
    );
    assert!(
        all.contains("unknown block `wth` (did you mean `with`?)"),
        "{all}"
    );
}

#[test]
fn wrong_uses_are_found_too() {
    for (text, reason) in [
        ("{{{contact.name}}}", "without escaping"),
        ("{{&contact.name}}", "without escaping"),
        ("{{contact}}", "a group of variables"),
        ("{{#each contact.name}}{{/each}}", "not a list"),
        ("{{#with contact.name}}{{/with}}", "a value, not a group"),
        ("{{@index}}", "stand only in a loop"),
        ("{{../contact.name}}", "leads out"),
        ("{{@format.locale}}", "stand only in a loop"),
        ("{{@root.@format.locale}}", "t/en/sms.hbs:1:"),
        ("{{body}}", "only in a layout"),
        ("{{date now \"lng\"}}", "did you mean `long`?"),
        ("{{money lead.value \"euro\"}}", "not a currency code"),
        ("{{plural 3 one=\"x\"}}", "`other` is required"),
        ("{{link \"ftp://x\"}}", "not an http"),
        (
            "{{default (link company.url) \"x\"}}",
            "cannot stand in parentheses",
        ),
        ("{{number contact.name}}", "is not a number"),
        ("{{#if x", "never closed"),
        ("{{#if contact.name}}", "cannot be read"),
        ("  \n", "this part is empty"),
    ] {
        let lines = refused(&[("sms", text)]);
        assert!(
            lines.iter().any(|line| line.contains(reason)),
            "{text}: {lines:?}"
        );
    }
    let lines = refused(&[("subject", "a\nb"), ("html", "<p>x<script>1</script>")]).join("\n");
    assert!(
        lines.contains("t/en/subject.hbs:1:2: a subject is one line"),
        "{lines}"
    );
    assert!(lines.contains("t/en/html.hbs:1:5: scripts"), "{lines}");
    assert!(refused(&[("html", "x")])[0].contains("no subject.hbs"));
    assert!(refused(&[("subject", "x")])[0].contains("no html.hbs or text.hbs"));
    assert!(
        refused(&[("subject", "x"), ("html", "{{! layout: plane }}x")])[0].contains("did you mean `plain`?")
    );
}

#[test]
fn known_names_without_a_value_render_empty_and_unknown_attributes_are_errors() {
    let mut context = RenderContext::default();
    context.contact.locale = "en".into();
    let text = "[{{lead.product}}{{date lead.expected_on}}{{money lead.value lead.currency}}{{owner.phone}}]";
    assert_eq!(sms(text, &context).unwrap(), "[]");
    match sms("Hi\n{{contact.attr.plan}}", &context).unwrap_err() {
        RenderError::Missing {
            variable,
            file,
            line,
            column,
        } => {
            assert_eq!(
                (variable.as_str(), file.as_str(), line, column),
                ("contact.attr.plan", "t/en/sms.hbs", 2, 1)
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        sms("{{default contact.attr.plan \"none\"}}", &context).unwrap(),
        "none"
    );
    assert_eq!(
        sms("{{#if contact.attr.plan}}a{{else}}b{{/if}}", &context).unwrap(),
        "b"
    );
    assert!(matches!(
        sms("{{lead.product}}", &context),
        Err(RenderError::Empty { .. })
    ));
}

#[test]
fn the_process_survives_what_is_too_deep_or_too_much() {
    let nested = |n: usize| format!("{}x{}", "{{#if now}}".repeat(n), "{{/if}}".repeat(n));
    assert!(refused(&[("sms", &nested(5000))])[0].contains("nested deeper than 32"));
    let chain = format!(
        "{{{{#if lead.grade}}}}{}{{{{/if}}}}",
        "{{else if now}}x".repeat(5000)
    );
    assert!(refused(&[("sms", &chain)])[0].contains("nested deeper than 32"));
    let big = "x".repeat(limits::SOURCE_BYTES + 1);
    assert!(refused(&[("sms", &big)])[0].contains("bytes; a template file may have"));

    let loops = |n: usize, inside: &str| {
        format!(
            "{}{inside}{}",
            "{{#each contact.attr.list}}".repeat(n),
            "{{/each}}".repeat(n)
        )
    };
    let four = "{{#each contact.attr.a}}{{#each @root.contact.attr.a}}{{#each @root.contact.attr.a}}\
                {{#each @root.contact.attr.a}}.{{/each}}{{/each}}{{/each}}{{/each}}";
    assert!(refused(&[("sms", four)])[0].contains("loops are nested deeper than 2"));
    assert!(refused(&[("sms", &loops(4, "."))])[0].contains("loops are nested deeper than 2"));
}

#[test]
fn blocks_as_deep_as_allowed_render_on_a_small_stack() {
    let n = limits::BLOCK_DEPTH;
    let text = format!("{}x{}", "{{#if contact.name}}".repeat(n), "{{/if}}".repeat(n));
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let worker = thread
        .spawn(move || sms(&text, &RenderContext::sample()).unwrap())
        .unwrap();
    assert_eq!(worker.join().unwrap(), "x");
}

#[test]
fn output_stops_at_its_bound() {
    let mut context = RenderContext::sample();
    context
        .contact
        .attr
        .insert("a".into(), serde_json::json!(vec!["x"; 180]));
    let body = "y".repeat(420);
    let text = format!(
        "{{{{#each contact.attr.a}}}}{{{{#each @root.contact.attr.a}}}}{body}{{{{/each}}}}{{{{/each}}}}"
    );
    let registry = compiled(&[("subject", "s"), ("html", &text)]);
    let error = render(&registry, wanted(ChannelKind::Email), &context, &Untracked).unwrap_err();
    assert_eq!(
        error,
        RenderError::TooBig {
            file: "t/en/html.hbs".into(),
            limit: limits::HTML_BYTES
        }
    );
    context
        .contact
        .attr
        .insert("a".into(), serde_json::json!(vec!["x"; 1000]));
    let error = render(&registry, wanted(ChannelKind::Email), &context, &Untracked).unwrap_err();
    assert!(error.to_string().contains("more than 200 entries"), "{error}");
}

#[test]
fn layouts_are_tried_too_and_attributes_are_the_companys_own() {
    let mut bad = set(&[("subject", "s"), ("html", "x")]);
    bad.shared
        .layouts
        .insert("plain".into(), "<p>\n{{date now \"lng\"}}</p>{{body}}".into());
    let lines: Vec<_> = Registry::compile(&bad)
        .unwrap_err()
        .iter()
        .map(Problem::to_string)
        .collect();
    assert_eq!(
        lines,
        ["_layouts/plain.hbs:2:1: date: unknown style `lng` (did you mean `long`?)"]
    );
    let registry = compiled(&[(
        "sms",
        "{{date contact.attr.renewal}}{{number contact.attr.seats}}{{#each contact.attr.sites}}{{this.name}}{{else}}none{{/each}}",
    )]);
    let used: Vec<_> = registry.variables("t").into_iter().collect();
    assert_eq!(
        used,
        ["contact.attr.renewal", "contact.attr.seats", "contact.attr.sites"]
    );
}

#[test]
fn partials_that_contain_themselves_or_explode_are_refused() {
    let mut around = set(&[("sms", "{{> a}}")]);
    around.shared.partials.insert("a".into(), "{{> b}}".into());
    around.shared.partials.insert("b".into(), "x\n{{> a}}".into());
    let lines: Vec<_> = Registry::compile(&around)
        .unwrap_err()
        .iter()
        .map(Problem::to_string)
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("_partials/b.hbs:2:1: the partial `a` contains itself")),
        "{lines:?}"
    );

    let mut doubling = set(&[("sms", "{{> p0}}")]);
    for n in 0..7 {
        doubling
            .shared
            .partials
            .insert(format!("p{n}"), format!("{{{{> p{}}}}}", n + 1).repeat(10));
    }
    doubling.shared.partials.insert("p7".into(), String::new());
    let lines: Vec<_> = Registry::compile(&doubling)
        .unwrap_err()
        .iter()
        .map(Problem::to_string)
        .collect();
    assert!(
        lines.iter().any(|line| line.contains("more than 20000 elements")),
        "{lines:?}"
    );
}

#[test]
fn links_are_counted_in_order_and_the_image_stands_last() {
    let registry = compiled(&[
        ("subject", "s"),
        (
            "html",
            "<a href=\"{{company.url}}\">home</a><a href=\"{{link company.pricing_url tag=\"pricing\"}}\">prices</a>\
             <a data-tag=\"case\" href=\"{{company.case_url}}?a=1&amp;b=2\">case</a><a href=\"mailto:x@y.example\">m</a>",
        ),
        (
            "sms",
            "{{link company.pricing_url tag=\"pricing\"}}, {{company.url}}",
        ),
    ]);
    let context = RenderContext::sample();
    let maker = Counting::default();
    let Rendered::Email(mail) = render(&registry, wanted(ChannelKind::Email), &context, &maker).unwrap()
    else {
        panic!("not a mail");
    };
    assert_eq!(
        maker.0.into_inner(),
        [
            "https://company.example/|",
            "https://company.example/pricing|pricing",
            "https://company.example/case?a=1&b=2|case"
        ]
    );
    let html = mail.html.unwrap();
    assert!(
        html.contains(r#"<a href="https://t.example/2">prices</a>"#),
        "{html}"
    );
    assert!(
        html.contains(r#"<a href="https://company.example/u/token">out</a>"#),
        "{html}"
    );
    assert!(!html.contains("data-tag"), "{html}");
    let image = html.find("https://t.example/open").unwrap();
    assert!(
        image > html.find("out</a>").unwrap() && html[image..].contains("</body>"),
        "{html}"
    );
    assert!(
        mail.text.contains("prices <https://t.example/2>"),
        "{}",
        mail.text
    );

    let maker = Counting::default();
    let Rendered::Sms(sms) = render(&registry, wanted(ChannelKind::Sms), &context, &maker).unwrap() else {
        panic!("not a text message");
    };
    assert_eq!(sms.text, "https://t.example/1, https://company.example/");
    assert_eq!(maker.0.into_inner(), ["https://company.example/pricing|pricing"]);
}

#[test]
fn languages_fall_back_and_partials_follow_the_content() {
    let mut set = set(&[("sms", "English {{> out}}")]);
    let hans = Parts {
        sms: Some("简体 {{> out}}".into()),
        ..Parts::default()
    };
    set.templates
        .get_mut("t")
        .unwrap()
        .locales
        .insert("zh-Hans".into(), hans);
    set.shared.partials.insert("out".into(), "stop".into());
    set.shared.partials.insert("zh-Hans/out".into(), "退订".into());
    let registry = Registry::compile(&set).unwrap();
    let text = |locale: &str, default_locale: &str| {
        let wanted = Wanted {
            template: "t",
            channel: ChannelKind::Sms,
            locale,
            default_locale,
        };
        render(&registry, wanted, &RenderContext::sample(), &Untracked).map(|rendered| match rendered {
            Rendered::Sms(sms) => (sms.locale, sms.text),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(
        text("zh-CN", "en").unwrap(),
        ("zh-Hans".into(), "简体 退订".into())
    );
    assert_eq!(text("zh-TW", "en").unwrap(), ("en".into(), "English stop".into()));
    assert_eq!(text("fr", "zh-CN").unwrap().0, "zh-Hans");
    assert!(matches!(
        text("zh-TW", "zh-Hans"),
        Err(RenderError::NoLanguage { .. })
    ));
}

#[test]
fn a_use_is_checked_against_what_the_template_has() {
    let registry = compiled(&[
        ("subject", "s"),
        ("text", "no way out"),
        ("sms", "x {{links.unsubscribe}}"),
    ]);
    let lines = |template: &str, channel, locale: &str, opt_out| {
        let problems = registry.check_use(template, channel, locale, opt_out);
        problems
            .iter()
            .map(Problem::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(lines("t", ChannelKind::Email, "en", false), "");
    assert!(
        lines("t", ChannelKind::Email, "en", true)
            .contains("t/en/text.hbs: marketing and care need a way out")
    );
    assert_eq!(lines("t", ChannelKind::Sms, "en-GB", true), "");
    assert!(lines("t", ChannelKind::Task, "en", false).contains("has nothing to send as task"));
    assert!(lines("t", ChannelKind::Sms, "fr", false).contains("no content in the default language fr"));
    assert!(lines("tt", ChannelKind::Sms, "en", false).contains("there is no template `tt`"));
    assert_eq!(
        registry.variables("t").into_iter().collect::<Vec<_>>(),
        ["links.unsubscribe"]
    );
}

#[test]
fn loops_that_say_nothing_are_cut_by_time() {
    // 200 times 200 times some thousand blocks without a word of output: neither depth, size nor output tells on it.
    let blocks = "{{#if this}}{{/if}}".repeat(4_000);
    let text =
        format!("Hi.{{{{#each contact.attr.rows}}}}{{{{#each this}}}}{blocks}{{{{/each}}}}{{{{/each}}}}");
    let registry = compiled(&[("subject", "s"), ("text", &text)]);
    let mut context = RenderContext::sample();
    let rows = vec![vec!["x"; 200]; 200];
    context.contact.attr = [("rows".to_owned(), serde_json::json!(rows))]
        .into_iter()
        .collect();
    let started = std::time::Instant::now();
    let error = render(&registry, wanted(ChannelKind::Email), &context, &Untracked).unwrap_err();
    assert!(matches!(error, RenderError::TooSlow { .. }), "{error}");
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
    // The next rendering has its own time.
    context.contact.attr = [("rows".to_owned(), serde_json::json!([["x"]]))]
        .into_iter()
        .collect();
    render(&registry, wanted(ChannelKind::Email), &context, &Untracked).unwrap();
}
