//! The ten minutes of the README, as a first reader goes through them: its shell blocks in order, to a mail server.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kith::config::shipped;
use kith::sandbox::smtp::{Received, Sink, SmtpSandbox, SmtpSandboxOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::{blocks, command_lines, root, words};
use crate::harness::TestDb;
use crate::rig::until;

/// The schedule of the cadence comes round every minute.
const PATIENCE: Duration = Duration::from_secs(150);
/// More commands than this are no ten minutes.
const MOST_COMMANDS: usize = 20;

struct Mailbox(mpsc::UnboundedSender<Received>);

impl Sink for Mailbox {
    fn take(&self, mail: Received) -> BoxFuture<'_, ()> {
        self.0.send(mail).unwrap();
        async {}.boxed()
    }
}

struct Reader<'a> {
    dir: &'a Path,
    database: String,
    mail_server: String,
}

impl Reader<'_> {
    fn shell(&self, script: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_kith")).parent().unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.dir)
            .env(
                "PATH",
                format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()),
            )
            .env("DATABASE_URL", &self.database)
            .env("KITH_DATABASE__DATA_DIR", self.dir.join("state"))
            .env("KITH_SENDERS__MAIL__SMTP__HOST", "127.0.0.1")
            .env("KITH_SENDERS__MAIL__SMTP__PORT", &self.mail_server)
            .env("KITH_SENDERS__MAIL__SMTP__TLS", "none")
            .env("SMTP_PASSWORD", "secret")
            .env("KITH_LOG", "warn")
            .env("KITH_LISTEN__PUBLIC", "127.0.0.1:0")
            .env("KITH_LISTEN__ADMIN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        shell
    }

    async fn types(&self, script: &str) -> String {
        let output = self.shell(script).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{said}\n{complained}");
        said
    }
}

#[tokio::test]
async fn from_a_csv_to_a_live_mail() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, chapter) = readme.split_once("## Ten minutes").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let steps = blocks(chapter, "sh");
    let commands = steps.iter().flat_map(|step| command_lines(step)).count();
    assert!(commands <= MOST_COMMANDS, "{commands} commands");

    let dir = tempfile::tempdir().unwrap();
    shipped::unpack(dir.path()).unwrap();
    fs::write(
        dir.path().join("config/kith.toml"),
        &blocks(chapter, "toml settings")[0],
    )
    .unwrap();
    let (sender, mut mailbox) = mpsc::unbounded_channel();
    let server = SmtpSandbox::start(SmtpSandboxOptions {
        auth: Some(("hello@example.com".to_owned(), "secret".to_owned())),
        sink: Some(Arc::new(Mailbox(sender))),
        ..SmtpSandboxOptions::default()
    })
    .await
    .unwrap();
    let db = TestDb::new().await;
    let reader = Reader {
        dir: dir.path(),
        database: db.url(),
        mail_server: server.addr.port().to_string(),
    };

    let (mut story, mut daemon) = (String::new(), None);
    for step in &steps {
        let is = |command: &[&str]| {
            command_lines(step)
                .iter()
                .any(|line| words(line).iter().take(command.len()).eq(command))
        };
        if is(&["kith", "doctor"]) || is(&["export"]) {
            // Asks the world outside; and the path is set already.
            continue;
        }
        if is(&["kith", "run"]) {
            assert_eq!(
                mailbox.try_recv().unwrap().rcpt,
                ["you@example.com"],
                "the mail of the rehearsal"
            );
            assert!(mailbox.try_recv().is_err(), "the sandbox kept its own");
            daemon = Some(reader.shell(&format!("exec env {step}")).spawn().unwrap());
            let mail = tokio::time::timeout(PATIENCE, mailbox.recv())
                .await
                .expect("no mail came")
                .unwrap();
            assert_eq!(mail.rcpt, ["you@example.com"]);
            let text = String::from_utf8_lossy(&mail.bytes).into_owned();
            assert!(
                text.contains("Subject: Thank you for asking about the planning module"),
                "{text}"
            );
            continue;
        }
        if daemon.is_some() {
            // The mail is there a moment before its row.
            story = until("the story of the mail", async || {
                Some(reader.types(step).await).filter(|story| story.contains("(hello/thanks): accepted"))
            })
            .await;
        } else {
            reader.types(step).await;
        }
    }
    assert!(story.contains("Entered hello for lead L1"), "{story}");
    let mut daemon = daemon.expect("no step runs the daemon");
    kill(Pid::from_raw(daemon.id().unwrap().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(
        tokio::time::timeout(PATIENCE, daemon.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
}
