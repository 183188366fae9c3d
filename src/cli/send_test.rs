//! `kith send-test`: one message by hand, to an address of one's own.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::context::refused;
use super::{Context, person};
use crate::app::ways::{self, Sandbox};
use crate::config::Mode;
use crate::engine::by_hand::{self, Sent};

/// Send a template, written as for a contact, to an address of your own
#[derive(Debug, Args)]
#[command(after_help = "\
A mail address gets the mail, a phone number the text message. Its links act on nobody, nothing is noted on the
contact, and the delivery mode holds: in sandbox mode it lands in the sandbox, in rehearsal only the allow-list is
reached. CONTACT is an external id, a mail address or a phone number.

Examples:
  kith send-test a-hello --contact ann@example.com --to me@example.com
  kith send-test a-hello --contact c-17 --to +8613800138000")]
pub struct SendTestArgs {
    /// Name of the template
    pub template: String,
    /// As written for whom
    #[arg(long, value_name = "CONTACT")]
    pub contact: String,
    /// Where it really goes
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    /// In this language instead of the contact's
    #[arg(long, value_name = "L")]
    pub locale: Option<String>,
}

/// Sends it.
pub async fn run(args: SendTestArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let sandbox = match opened.settings.delivery.mode {
        Mode::Sandbox => Some(Sandbox::start(opened.pool.clone(), opened.clock().await?).await?),
        Mode::Rehearsal | Mode::Live => None,
    };
    let channels = ways::channels(&opened.settings, sandbox.as_ref(), &opened.clock().await?)?;
    let deps = opened.deps(context, channels).await?;
    let contact = person::find(&mut *opened.pool.acquire().await?, context, &args.contact).await?;
    let sent = by_hand::send_test(
        &deps,
        &args.template,
        contact,
        &args.to,
        args.locale.as_deref(),
        now,
    )
    .await?;
    let sandboxed = sandbox.is_some();
    drop(deps);
    opened.close().await?;
    match sent {
        Sent::Accepted { reply, .. } if sandboxed => {
            println!(
                "delivery.mode is sandbox: it lies in the sandbox (`kith sandbox list`), nothing left this machine ({reply})"
            );
            Ok(ExitCode::SUCCESS)
        }
        Sent::Accepted { sender, reply } => {
            println!("{sender} took it for {}: {reply}", args.to);
            Ok(ExitCode::SUCCESS)
        }
        Sent::Failed { sender, why } => {
            eprintln!("{sender} did not take it for {}: {why}", args.to);
            Ok(ExitCode::FAILURE)
        }
        Sent::Refused(why) => refused(why),
    }
}
