use std::time::Instant;
use kith::render::context::RenderContext;
use kith::render::message::*;
use kith::render::mime::*;
use kith::render::data::Data;
use kith::render::{document, links::Untracked};
fn main() {
    let dir = tempfile::tempdir().unwrap();
    kith::config::shipped::unpack(dir.path()).unwrap();
    let t = dir.path().join("templates");
    std::fs::create_dir_all(t.join("bench/en")).unwrap();
    for p in ["subject","html","text"] { std::fs::copy(format!("src/cli/bench/mail/{p}.hbs"), t.join(format!("bench/en/{p}.hbs"))).unwrap(); }
    let set = kith::render::source::TemplateSet::load(&t).unwrap();
    let registry = kith::render::registry::Registry::compile(&set).unwrap();
    let context = RenderContext::sample();
    let w = |template| Wanted { template, medium: Medium::Email, locale: "en", default_locale: "en" };
    let n = 5000;
    let time = |name: &str, f: &mut dyn FnMut()| { for _ in 0..200 { f(); } let s = Instant::now(); for _ in 0..n { f(); } println!("{name}: {:.1} us", s.elapsed().as_secs_f64()*1e6/f64::from(n)); };
    time("data", &mut || { std::hint::black_box(Data::of(&context, "en").unwrap()); });
    time("vars", &mut || { std::hint::black_box(serde_json::to_value(&context).unwrap()); });
    time("vars string", &mut || { std::hint::black_box(serde_json::to_string(&context).unwrap()); });
    time("render", &mut || { std::hint::black_box(render(&registry, w("bench"), &context, &Untracked).unwrap()); });
    time("render b-value", &mut || { std::hint::black_box(render(&registry, w("b-value"), &context, &Untracked).unwrap()); });
    let Rendered::Email(words) = render(&registry, w("bench"), &context, &Untracked).unwrap() else { panic!() };
    let html = words.html.clone().unwrap();
    println!("html {} text {}", html.len(), words.text.len());
    time("inline", &mut || { std::hint::black_box(document::inline(&html).unwrap()); });
    time("link", &mut || { std::hint::black_box(document::link(&html, &[], &Untracked)); });
    let env = Envelope { from_name: Some("Sam Reed".into()), from_address: "sam@company.example".into(), reply_to: Some("desk@company.example".into()), to_name: Some("Ada".into()), to_address: "ada@lin.example".into(), message_id: "0199a7c2@company.example".into(), date: "2027-03-05T09:30:00Z".parse().unwrap(), list_unsubscribe: Some("https://t.company.example/u/xxxxxxxxxxxxxxxxxxxxxxxx".into()), auto_submitted: true, headers: vec![] };
    time("mime", &mut || { std::hint::black_box(build_email(&words, &env).unwrap()); });
    println!("mail {}", build_email(&words, &env).unwrap().len());
}
