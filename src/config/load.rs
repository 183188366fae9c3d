//! Reading `kith.toml`: compiled-in defaults, then the file, then `KITH_SECTION__KEY`.

use std::path::Path;

use super::problem::{ConfigError, Problem};
use super::runtime::{DatabaseUrl, HiddenUrl};
use super::settings::Settings;
use super::shipped;
use super::source::Source;

/// The name of the compiled-in defaults in messages.
const DEFAULTS: &str = "built-in kith.toml";

/// Names and values of an environment.
type Variables = Vec<(String, String)>;

impl Settings {
    /// Loads `DIR/kith.toml`, or the compiled-in copy where there is no directory; then the environment.
    pub fn load(dir: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_placed(dir).map(|(settings, _)| settings)
    }

    /// The same, with the source that knows the place of every key.
    pub fn load_placed(dir: Option<&Path>) -> Result<(Self, Source), ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = match dir {
            None => None,
            Some(dir) => {
                let path = dir.join("kith.toml");
                let name = path.display().to_string();
                match std::fs::read_to_string(&path) {
                    Ok(text) => Some((name, text)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && dir.is_dir() => None,
                    Err(error) => {
                        return Err(Problem::of_file(name, format!("cannot be read: {error}")).into());
                    }
                }
            }
        };
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        Self::placed(file, &environment)
    }

    /// The compiled-in defaults alone.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::from_texts(None, &Vec::new())
    }

    /// From the text of a file (with its name) and variables of an environment.
    pub fn from_texts(file: Option<(&str, &str)>, environment: &Variables) -> Result<Self, ConfigError> {
        Self::placed(file, environment).map(|(settings, _)| settings)
    }

    fn placed(file: Option<(&str, &str)>, environment: &Variables) -> Result<(Self, Source), ConfigError> {
        let source = layers(file, environment)?;
        let mut settings: Self = source.read()?;
        let problems = settings.check(&source);
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        if let Some((_, url)) = environment
            .iter()
            .find(|(name, url)| name == "DATABASE_URL" && !url.is_empty())
        {
            settings.database.url = Some(DatabaseUrl::FromEnvironment(HiddenUrl(url.clone())));
        }
        Ok((settings, source))
    }
}

/// Defaults, file and environment, laid over each other.
fn layers(file: Option<(&str, &str)>, environment: &Variables) -> Result<Source, ConfigError> {
    let mut source = Source::of(DEFAULTS, shipped::KITH_TOML)?;
    if let Some((name, text)) = file {
        source.lay_over(name, text)?;
    }
    let mut variables: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name, name.strip_prefix("KITH_")?, value)))
        .collect();
    variables.sort();
    for (name, key, value) in variables {
        // One underscore is part of a name; programs beside us use KITH_X for other things.
        if !key.contains("__") {
            continue;
        }
        let place = format!("environment variable {name}");
        let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        if path.iter().any(String::is_empty) {
            return Err(Problem::of_file(place, "a part of the name is empty").into());
        }
        match path.split_first() {
            Some((list, rest)) if list == "senders" => {
                let Some((sender, keys)) = rest.split_first().filter(|(_, keys)| !keys.is_empty()) else {
                    return Err(Problem::of_file(place, "written KITH_SENDERS__NAME__KEY").into());
                };
                match source.lay_over_named(&place, list, sender, &assignment(keys, value)) {
                    Some(laid) => laid?,
                    None => {
                        return Err(Problem::of_file(place, format!("there is no sender `{sender}`")).into());
                    }
                }
            }
            _ => {
                let keys: Vec<&str> = path.iter().map(String::as_str).collect();
                let line = match source.list_of_tables(&keys) {
                    None => assignment(&path, value),
                    Some(of_tables) => list_assignment(&path, value, of_tables)
                        .map_err(|why| Problem::of_file(&place, why).of_field(path.join(".")))?,
                };
                source.lay_over(&place, &line)?;
            }
        }
    }
    Ok(source)
}

/// One TOML line for a list: as TOML writes one, or texts with commas in between.
fn list_assignment(path: &[String], value: &str, of_tables: bool) -> Result<String, String> {
    let value = value.trim();
    if value.starts_with('[') {
        let line = assignment(path, value);
        return if line.ends_with(value) {
            Ok(line)
        } else {
            Err("begins like a TOML list but is none".to_owned())
        };
    }
    if of_tables {
        return Err("a list of tables: write it as TOML does, [{ .. }, { .. }]".to_owned());
    }
    let members = value
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty());
    let list = members
        .map(|member| toml::Value::String(member.to_owned()))
        .collect();
    Ok(format!("{} = {}", dotted(path), toml::Value::Array(list)))
}

/// One TOML line. A value that reads as a TOML value is one; anything else is text.
fn assignment(path: &[String], value: &str) -> String {
    let key = dotted(path);
    let typed = format!("{key} = {value}");
    let is_value = !value.contains('\n') && toml::de::DeTable::parse(&typed).is_ok();
    if is_value {
        typed
    } else {
        format!("{key} = {}", toml::Value::String(value.to_owned()))
    }
}

fn dotted(path: &[String]) -> String {
    let quoted: Vec<String> = path.iter().map(|part| format!("{part:?}")).collect();
    quoted.join(".")
}

#[cfg(test)]
mod tests {
    use super::super::delivery::Mode;
    use super::super::runtime::LogFormat;
    use super::*;

    fn refused(file: &str) -> String {
        Settings::from_texts(Some(("kith.toml", file)), &Vec::new())
            .unwrap_err()
            .to_string()
    }

    fn with(environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let environment = environment
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Settings::from_texts(None, &environment)
    }

    #[test]
    fn the_defaults_are_whole_and_send_nothing() {
        let settings = Settings::defaults().unwrap();
        assert_eq!(settings.delivery.mode, Mode::Sandbox);
        assert!(!settings.delivery.may_leave("ann@example.com"));
        assert_eq!(settings.database.url, None);
        assert_eq!(settings.senders.len(), 2);
        assert_eq!(settings.gate.calendar("CN-31"), Some("china"));
        assert_eq!(settings.gate.calendar("FR"), None);
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let environment = vec![
            ("KITH_LOG__LEVEL".to_owned(), "debug".to_owned()),
            (
                "KITH_SENDERS__MAIL__SMTP__HOST".to_owned(),
                "mail.example.com".to_owned(),
            ),
            ("KITH_DATABASE__MAX_CONNECTIONS".to_owned(), "20".to_owned()),
            ("KITH_PG_BIN".to_owned(), "/somewhere".to_owned()),
            ("DATABASE_URL".to_owned(), "postgres://u:hunter2@h/d".to_owned()),
        ];
        let file = "[log]\nlevel = \"warn\"\nformat = \"json\"\n[company]\nname = \"Ours\"\n";
        let settings = Settings::from_texts(Some(("kith.toml", file)), &environment).unwrap();
        assert_eq!(settings.log.level, "debug");
        assert_eq!(settings.log.format, LogFormat::Json);
        assert_eq!(settings.company.name, "Ours");
        assert_eq!(settings.senders[0].email().unwrap().smtp.host, "mail.example.com");
        assert_eq!(settings.database.max_connections, 20);
        assert_eq!(
            settings.database.url.as_ref().unwrap().resolve().unwrap(),
            "postgres://u:hunter2@h/d"
        );
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn the_environment_is_checked_like_a_file() {
        let error = with(&[("KITH_LOG__LEVLE", "debug")]).unwrap_err().to_string();
        assert!(
            error.starts_with("environment variable KITH_LOG__LEVLE:1:"),
            "{error}"
        );
        assert!(error.ends_with("(did you mean `level`?)"), "{error}");
        assert!(with(&[("KITH_SENDERS__NOBODY__FROM_NAME", "x")]).is_err());
        assert!(with(&[("KITH_SENDERS__MAIL", "x")]).is_err());
        assert!(
            with(&[("KITH_DELIVERY__MODE", "alive")])
                .unwrap_err()
                .to_string()
                .contains("(did you mean `live`?)")
        );
        assert_eq!(
            with(&[("KITH_COMPANY__NAME", "A \"b\" = [")])
                .unwrap()
                .company
                .name,
            "A \"b\" = ["
        );
    }

    #[test]
    fn a_fallback_carries_only_what_it_can() {
        let vonage = "vonage = { api_key = \"k\", api_secret = { env = \"S\" }, from = \"Shop\" }";
        let aliyun =
            "aliyun = { access_key_id = \"k\", access_key_secret = { env = \"S\" }, sign_name = \"x\" }";
        let other_limits = "limits = { per_number = [{ n = 1, per = \"1d\" }] }";
        let senders = |first: &str, second: &str, more: &str| {
            let sender = |name: &str, account: &str, more: &str| {
                format!("[[senders]]\nname = \"{name}\"\nchannel = \"sms\"\n{account}\n{more}\n")
            };
            sender("a", first, "fallback = \"b\"") + &sender("b", second, more)
        };
        let fine = senders(vonage, vonage, "");
        Settings::from_texts(Some(("kith.toml", &fine)), &Vec::new()).unwrap();
        let why = refused(&senders(vonage, aliyun, ""));
        assert!(why.contains("registered with one provider"), "{why}");
        let why = refused(&senders(vonage, vonage, other_limits));
        assert!(why.contains("`b` has other limits"), "{why}");
    }

    #[test]
    fn a_list_may_be_written_with_commas() {
        for (text, list) in [
            ("me@a.example", &["me@a.example"][..]),
            (
                "me@a.example, +4915100000000 ,@b.example,",
                &["me@a.example", "+4915100000000", "@b.example"],
            ),
            ("+4915100000000", &["+4915100000000"]),
            ("[\"me@a.example\"]", &["me@a.example"]),
            ("", &[]),
        ] {
            let settings = with(&[("KITH_DELIVERY__ALLOW_LIST", text)]).unwrap();
            assert_eq!(settings.delivery.allow_list, list, "{text}");
        }
        for (name, text, why) in [
            (
                "KITH_DELIVERY__ALLOW_LIST",
                "[me@a.example]",
                "begins like a TOML list but is none",
            ),
            (
                "KITH_GATE__CAPS__CARE__CONTACT",
                "2 a day",
                "a list of tables: write it as TOML does",
            ),
        ] {
            let error = with(&[(name, text)]).unwrap_err().to_string();
            let field = name
                .strip_prefix("KITH_")
                .unwrap()
                .to_lowercase()
                .replace("__", ".");
            let start = format!("environment variable {name}: {field}: {why}");
            assert!(error.starts_with(&start), "{error}");
        }
        let caps = with(&[("KITH_GATE__CAPS__CARE__CONTACT", "[{ n = 2, per = \"1d\" }]")]).unwrap();
        assert_eq!(caps.gate.caps.care.contact.len(), 1);
    }

    #[test]
    fn each_fault_has_its_place() {
        for (file, start, part) in [
            (
                "[company]\nnmae = \"x\"",
                "kith.toml:2:1: company.nmae: unknown key `nmae`",
                "(did you mean `name`?)",
            ),
            (
                "[compani]\nname = \"x\"",
                "kith.toml:1:2: compani: unknown key",
                "(did you mean `company`?)",
            ),
            (
                "[company]\ntimezone = \"Asia/Shangai\"",
                "kith.toml:2:12: company.timezone",
                "Asia/Shangai",
            ),
            (
                "[company]\nregion = \"China\"",
                "kith.toml:2:1: company.region",
                "ISO 3166",
            ),
            (
                "[delivery]\nmode = \"dry\"",
                "kith.toml:2:8: delivery.mode: unknown value `dry`",
                "sandbox",
            ),
            (
                "[lease]\nheartbeat = \"5 parsecs\"",
                "kith.toml:2:13: lease.heartbeat",
                "not a duration",
            ),
            (
                "[lease]\nheartbeat = \"20s\"",
                "built-in kith.toml:",
                "three heartbeats",
            ),
            (
                "[gate.windows.sms]\ncare = \"9 to 5\"",
                "kith.toml:2:8: gate.windows.sms.care",
                "9 to",
            ),
            (
                "[gate.caps.care]\ncontact = [{ n = 1, per = \"2bd\" }]",
                "kith.toml:2:27: gate.caps.care",
                "business",
            ),
            (
                "[gate.consent.email]\ncare = \"optin\"",
                "kith.toml:2:8:",
                "(did you mean `opt-in`?)",
            ),
            (
                "[database]\nurl = \"postgres://u:p@h/d\"",
                "kith.toml:2:1: database.url",
                "must not stand in the file",
            ),
            (
                "[listen]\nadmin = \"0.0.0.0\"",
                "kith.toml:2:9: listen.admin",
                "socket address",
            ),
            (
                "[listen]\nadmin = \"127.0.0.1:8601\"",
                "kith.toml:2:1: listen.admin",
                "public",
            ),
            (
                "[delivery]\nmode = \"live\"",
                "built-in kith.toml:",
                "the sender has no server",
            ),
            ("x = ", "kith.toml:1:", ""),
        ] {
            let error = refused(file);
            assert!(
                error.starts_with(start) && error.contains(part),
                "{file}\n{error}"
            );
        }
    }

    #[test]
    fn a_literal_secret_is_refused() {
        let error = refused(
            "[[senders]]\nname = \"m\"\nchannel = \"email\"\nfrom_email = \"a@b.example\"\n\
             smtp = { host = \"h\", username = \"u\", password = \"hunter2\" }\n",
        );
        assert!(
            error.starts_with("kith.toml:5:") && error.contains("must not stand in the file"),
            "{error}"
        );
        assert!(!error.contains("hunter2"));
    }
}
