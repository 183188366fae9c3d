//! DKIM, judged by a verifier that shares nothing with kith: dkimpy.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kith::app::ways;
use kith::channel::BuiltEmail;
use kith::channel::smtp::SmtpOptions;
use kith::channel::smtp::dkim::{DkimKey, Kind};
use kith::config::Settings;
use kith::render::message::RenderedEmail;
use kith::render::mime::{Envelope, build_email};
use kith::sandbox::smtp::SmtpSandboxOptions;
use serde_json::{Value, json};

use super::{Go, Rig, channel_of, is_accepted, mail, send};

/// Reads `{"dns": {NAME: RECORD}, "mails": [BASE64]}` and writes, for each mail, what each of its signatures is worth.
const JUDGE: &str = r#"
import base64, json, sys
import dkim
import nacl.signing
asked = json.load(sys.stdin)
def record(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    text = asked["dns"].get(name.rstrip("."))
    return text.encode() if text else None
answers = []
for mail in asked["mails"]:
    mail = base64.b64decode(mail)
    count = mail.split(b"\r\n\r\n")[0].lower().count(b"dkim-signature:")
    answer = []
    for n in range(count):
        try:
            answer.append(bool(dkim.DKIM(mail).verify(idx=n, dnsfunc=record)))
        except dkim.DKIMException as error:
            answer.append(str(error))
    answers.append(answer)
json.dump(answers, sys.stdout)
"#;

/// A Python with dkimpy: the machine's own, else one made for the tests; or why there is none.
fn python() -> Result<PathBuf, String> {
    let works = |python: &Path| {
        let probe = Command::new(python)
            .args(["-c", "import dkim, nacl.signing"])
            .stdin(Stdio::null())
            .output();
        probe.is_ok_and(|output| output.status.success())
    };
    let own = PathBuf::from("python3");
    if works(&own) {
        return Ok(own);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dkimpy");
    let made = folder.join("bin/python");
    if works(&made) {
        return Ok(made);
    }
    let run = |command: &mut Command| match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()),
        Err(error) => Err(error.to_string()),
    };
    run(Command::new(&own).args(["-m", "venv"]).arg(&folder))?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--timeout",
        "10",
        "dkimpy",
        "pynacl",
    ];
    run(Command::new(&made).args(pip))?;
    works(&made)
        .then_some(made)
        .ok_or_else(|| "dkimpy was installed and does not load".to_owned())
}

/// What each signature of each mail is worth: `true`, or why not. `None` where there is no verifier, which it says.
fn judge(keys: &[Arc<DkimKey>], mails: &[Vec<u8>]) -> Option<Vec<Vec<Value>>> {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("skipped: no Python with dkimpy ({why}); scripts/install verifier");
            return None;
        }
    };
    let dns: serde_json::Map<String, Value> = keys
        .iter()
        .map(|key| (key.record_name(), key.record().into()))
        .collect();
    let mails: Vec<String> = mails.iter().map(|mail| BASE64.encode(mail)).collect();
    let mut judge = Command::new(python)
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let question = json!({ "dns": dns, "mails": mails }).to_string();
    judge
        .stdin
        .take()
        .unwrap()
        .write_all(question.as_bytes())
        .unwrap();
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn key(domain: &str, selector: &str, kind: Kind) -> Arc<DkimKey> {
    Arc::new(DkimKey::generate(domain, selector, kind).unwrap())
}

fn both() -> Vec<Arc<DkimKey>> {
    vec![
        key("shop.example", "r1", Kind::Rsa),
        key("shop.example", "e1", Kind::Ed25519),
    ]
}

fn letter() -> Vec<u8> {
    let words = RenderedEmail {
        locale: "zh-Hans".to_owned(),
        subject: "您的报价 and a subject that is long enough to be folded over two or three lines of header"
            .to_owned(),
        html: Some(format!("<p>{}</p>", "长 ".repeat(2000))),
        text: "From here\n.\n..\n  trailing  \t \n\n\n".to_owned(),
    };
    let envelope = Envelope {
        from_name: Some("张伟, Shop".to_owned()),
        from_address: "hello@shop.example".to_owned(),
        reply_to: Some("answers@shop.example".to_owned()),
        to_name: Some("Ann".to_owned()),
        to_address: "ann@customer.example".to_owned(),
        message_id: "one@shop.example".to_owned(),
        date: "2027-01-04T02:00:00Z".parse().unwrap(),
        list_unsubscribe: Some(format!("https://shop.example/u/{}", "x".repeat(90))),
        auto_submitted: true,
        headers: Vec::new(),
    };
    build_email(&words, &envelope).unwrap()
}

/// What arrives when these are sent with those keys.
async fn arrived(keys: &[Arc<DkimKey>], mails: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let rig = Rig::with(SmtpSandboxOptions::default(), |options| {
        options.dkim = keys.to_vec();
    })
    .await;
    for bytes in mails {
        let mail = BuiltEmail { bytes, ..mail("one") };
        assert!(is_accepted(&send(&rig.channel, &mail, &Go::default()).await));
    }
    let log = rig.log().await;
    log.into_iter()
        .map(|record| record.bytes.unwrap().to_vec())
        .collect()
}

fn header_of(mail: &[u8]) -> String {
    let mail = String::from_utf8_lossy(mail);
    mail.split("\r\n\r\n").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_signed_mail_verifies_with_both_algorithms_whatever_is_in_it() {
    let keys = both();
    let header = "From: Shop <hello@Shop.example>\r\nTo: a@b.example\r\nSubject: hi\r\nMessage-ID: <a@b>\r\n";
    let mut mails = vec![letter()];
    for body in [
        "",
        "\r\n",
        "\r\n\r\n\r\n",
        "a",
        "a\nb\n.\n\n.b\rc\n\n",
        "trailing \t \r\n\ttabs\t\there \r\n\r\n\r\n",
        " \r\n \t\r\n",
        "\r\n\r\nfirst lines blank",
        "\u{fe}\u{ff} ü 8-bit\r\n",
    ] {
        mails.push(format!("{header}\r\n{body}").into_bytes());
    }
    mails.push(format!("{header}\r\n{}\r\n", "long ".repeat(4000)).into_bytes());
    // No body at all, bare line feeds in the header, and folds of every kind.
    mails.push(header.as_bytes().to_vec());
    mails.push(header.replace("\r\n", "\n").into_bytes());
    mails.push(
        b"FROM:\r\n \"a@evil.example\"\r\n\t<hello@shop.example>\r\nSubject:\r\n  a\r\n\t b  \tc \r\n \r\nTo:x\r\n\r\nbody"
            .to_vec(),
    );
    // A name twice.
    mails.push(format!("{header}To: second@b.example\r\nReply-To: x@y.example\r\n\r\nbody\r\n").into_bytes());
    let count = mails.len();
    let arrived = arrived(&keys, mails).await;
    assert_eq!(arrived.len(), count);
    for mail in &arrived {
        let header = header_of(mail);
        assert!(header.lines().all(|line| line.len() <= 998), "{header}");
        assert!(header.contains("a=rsa-sha256") && header.contains("a=ed25519-sha256"));
    }
    let Some(judged) = judge(&keys, &arrived) else {
        return;
    };
    for (mail, judged) in arrived.iter().zip(judged) {
        assert_eq!(
            judged,
            [json!(true), json!(true)],
            "{}",
            String::from_utf8_lossy(mail)
        );
    }
}

#[tokio::test]
async fn what_is_changed_or_added_on_the_way_breaks_the_signatures() {
    let keys = both();
    let whole = arrived(&keys, vec![letter()]).await.remove(0);
    let text = String::from_utf8(whole.clone()).unwrap();
    let unfolded = header_of(&whole).to_lowercase().replace("\r\n\t", "");
    for name in ["list-unsubscribe", "list-unsubscribe-post"] {
        let signed = unfolded.lines().filter(|line| {
            let names = line.split("h=").nth(1).and_then(|rest| rest.split(';').next());
            // Once for the field, and once more so that none can be added.
            names.is_some_and(|names| names.split(':').filter(|n| n.trim() == name).count() == 2)
        });
        assert_eq!(signed.count(), 2, "{name}: {unfolded}");
    }
    let changed = [
        text.replacen("Subject: ", "Subject: x", 1),
        text.replacen("From: ", "From: x@evil.example\r\nFrom: ", 1),
        format!("List-Unsubscribe: <https://evil.example>\r\n{text}"),
        text.replacen("https://shop.example/u/", "https://evil.example/u/", 1),
        format!("{text}more\r\n"),
    ];
    let mut mails: Vec<Vec<u8>> = changed.into_iter().map(String::into_bytes).collect();
    assert!(mails.iter().all(|mail| *mail != whole));
    // What servers on the way do add breaks nothing.
    mails.push(
        format!("Received: from a by b; Mon, 4 Jan 2027 02:00:00 +0000\r\n{text}\r\n\r\n").into_bytes(),
    );
    let Some(judged) = judge(&keys, &mails) else {
        return;
    };
    let (last, broken) = judged.split_last().unwrap();
    for (n, judged) in broken.iter().enumerate() {
        assert!(
            judged.len() == 2 && judged.iter().all(|one| *one != json!(true)),
            "{n}: {judged:?}"
        );
    }
    assert_eq!(*last, [json!(true), json!(true)]);
}

#[tokio::test]
async fn the_domain_of_from_chooses_the_keys() {
    let keys = vec![
        key("shop.example", "one", Kind::Ed25519),
        key("other.example", "two", Kind::Ed25519),
    ];
    let from = |address: &str| format!("From: <{address}>\r\nSubject: hi\r\n\r\nhi\r\n").into_bytes();
    let mails = [
        "a@shop.example",
        "b@other.example",
        "c@mail.other.example",
        "d@elsewhere.example",
    ];
    let arrived = arrived(&keys, mails.map(from).to_vec()).await;
    let domains: Vec<Option<String>> = arrived
        .iter()
        .map(|mail| {
            let header = header_of(mail);
            let (_, rest) = header.split_once("d=")?;
            Some(rest.split(';').next()?.to_owned())
        })
        .collect();
    let expected = [
        Some("shop.example"),
        Some("other.example"),
        Some("other.example"),
        None,
    ];
    assert_eq!(domains, expected.map(|domain| domain.map(str::to_owned)));
    let Some(judged) = judge(&keys, &arrived[..3]) else {
        return;
    };
    assert!(judged.iter().all(|one| *one == [json!(true)]), "{judged:?}");
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The sender of a configuration with that list of keys, or its error.
fn configured(keys: &str) -> Result<SmtpOptions, String> {
    let file = format!(
        "[[senders]]\nname = \"main\"\nchannel = \"email\"\nfrom_email = \"hello@shop.example\"\n{keys}\n\
         [senders.smtp]\nhost = \"127.0.0.1\"\ntls = \"none\"\ndeadlines = {{ dot = \"20m\", data = \"5s\" }}\n"
    );
    let settings =
        Settings::from_texts(Some(("kith.toml", &file)), &Vec::new()).map_err(|error| error.to_string())?;
    let email = settings.senders[0].email().unwrap();
    ways::smtp_options(email, None).map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn keys_come_from_files_in_either_form_and_deadlines_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let pkcs8 = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = pkcs8.as_der().unwrap();
    // PKCS#8 wraps the PKCS#1 form: 26 bytes of an RSA key of 2048 bits come before it.
    for (name, text) in [
        ("eight.pem", pem("PRIVATE KEY", pkcs8.as_ref())),
        ("one.pem", pem("RSA PRIVATE KEY", &pkcs8.as_ref()[26..])),
        // The key of RFC 8463 appendix A.
        (
            "ed.pem",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
             -----END PRIVATE KEY-----\n"
                .to_owned(),
        ),
        ("nothing.pem", "hello\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let entry = |domain: &str, file: &str| {
        let file = folder.path().join(file);
        format!("{{ domain = \"{domain}\", selector = \"s\", key = {{ file = {file:?} }} }}")
    };
    let list = |entries: &[String]| format!("dkim = [{}]", entries.join(", "));
    let options = configured(&list(&[
        entry("Shop.example", "eight.pem"),
        entry("shop.example", "one.pem"),
        entry("shop.example", "ed.pem"),
    ]))
    .unwrap();
    let publics: Vec<String> = options.dkim.iter().map(|key| key.public()).collect();
    assert_eq!(publics[0], publics[1]);
    assert_eq!(publics[2], "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    assert_eq!(options.dkim[1].algorithm(), "rsa-sha256");
    let limits = &options.deadlines;
    assert_eq!(
        [limits.dot, limits.data, limits.envelope].map(|limit| limit.as_secs()),
        [1200, 5, 300]
    );
    drop(channel_of(&options));

    for (keys, why) in [
        (
            list(&[entry("shop.example", "nothing.pem")]),
            "no private key in PEM form",
        ),
        (
            list(&[entry("shop.example", "absent.pem")]),
            "s._domainkey.shop.example",
        ),
        (list(&[entry("other.example", "ed.pem")]), "senders.0.dkim"),
        (
            list(&[entry("not a domain", "ed.pem")]),
            "senders.0.dkim.0.domain",
        ),
        (
            "return_path = \"not a domain\"".to_owned(),
            "senders.0.return_path",
        ),
    ] {
        let error = configured(&keys).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
