//! What `kith bench deliver` sends: five cadences of one step, and a mail of two parts and some 5 KB.

use std::io;
use std::path::Path;

use crate::cli::Context;
use crate::config::shipped;

/// Cadences by name; people are dealt out among them.
pub const NAMES: [&str; 5] = [
    "bench-one",
    "bench-two",
    "bench-three",
    "bench-four",
    "bench-five",
];
/// The one step of each.
pub const STEP: &str = "letter";

const PARTS: [(&str, &str); 3] = [
    ("subject", include_str!("mail/subject.hbs")),
    ("html", include_str!("mail/html.hbs")),
    ("text", include_str!("mail/text.hbs")),
];

/// Writes the shipped files and those of the benchmark under a directory. Returns a context that takes its rules from there.
pub fn unpack(context: &Context, into: &Path) -> io::Result<Context> {
    shipped::unpack(into)?;
    let (config, templates) = (into.join("config"), into.join("templates"));
    for name in NAMES {
        let text = format!(
            "name = \"{name}\"\ntitle = \"A benchmark\"\nsubject = \"contact\"\n\
             [entry]\nschedule = \"0 9 1 1 *\"\naudience = {{ fact = \"account.standing\", in = [\"vip\"] }}\n\
             [[steps]]\nkey = \"{STEP}\"\nchannel = \"email\"\ntemplate = \"bench\"\nfunction = \"information\"\nexpires = \"7d\"\n"
        );
        std::fs::write(config.join("cadences").join(format!("{name}.toml")), text)?;
    }
    let letter = templates.join("bench/en");
    std::fs::create_dir_all(&letter)?;
    for (part, text) in PARTS {
        std::fs::write(letter.join(format!("{part}.hbs")), text)?;
    }
    Ok(Context {
        config_dir: Some(config),
        templates_dir: Some(templates),
        ..context.clone()
    })
}
