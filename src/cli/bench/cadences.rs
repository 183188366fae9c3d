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
    let (config, templates) = (into.join("config"), into.join("templates"));
    shipped::unpack(into)?;
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

/// How many audiences [`unpack_audiences`] writes.
pub const AUDIENCES: i64 = 10;

/// Writes the shipped files without the cadences that look at an audience, and ten that do so each day: for those who were
/// lost and were spoken with lately, every second one only if they opened nothing since.
pub fn unpack_audiences(context: &Context, into: &Path) -> io::Result<Context> {
    let context = unpack(context, into)?;
    let config = into.join("config");
    for name in NAMES.into_iter().chain(["win-back"]) {
        std::fs::remove_file(config.join("cadences").join(format!("{name}.toml")))?;
    }
    // Nobody is won back here, so that no cadence is missing.
    let retention = std::fs::read_to_string(config.join("retention.toml"))?;
    let kept: String = retention
        .lines()
        .filter(|line| !line.starts_with("win_back"))
        .flat_map(|line| [line, "\n"])
        .collect();
    std::fs::write(config.join("retention.toml"), kept)?;
    for n in 1..=AUDIENCES {
        let opened = if n % 2 == 0 {
            ", { not = { event = \"opened\", within = \"5d\" } }"
        } else {
            ""
        };
        let text = format!(
            "name = \"bench-{n}\"\ntitle = \"A benchmark\"\nsubject = \"contact\"\n\
             [entry]\nschedule = \"0 9 * * *\"\naudience = {{ all = [{{ fact = \"account.standing\", is = \"inactive\" }}, \
             {{ fact = \"contact.last_human_at\", within = \"{n}d\" }}{opened}] }}\n\
             [[steps]]\nkey = \"{STEP}\"\nchannel = \"email\"\ntemplate = \"bench\"\nfunction = \"information\"\n"
        );
        std::fs::write(config.join("cadences").join(format!("bench-{n}.toml")), text)?;
    }
    Ok(context)
}
