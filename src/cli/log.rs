//! `kith log`: a colleague spoke with somebody.

use std::process::ExitCode;

use anyhow::Result;
use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use super::context::actor;
use super::{Context, person};
use crate::domain::event::EventType;
use crate::engine::Channels;
use crate::engine::by_hand::{self, Spoken};

/// Note that a colleague spoke with a contact; the next touches wait
#[derive(Debug, Args)]
#[command(after_help = "\
CONTACT is an external id, a mail address or a phone number.

Examples:
  kith log ann@example.com call --text 'Budget is through in May' --outcome waiting
  kith log c-17 visit --leave-until 2027-03-01     the daemon leaves the contact to the owner until then")]
pub struct LogArgs {
    /// With whom
    pub contact: String,
    /// How
    pub how: HowArg,
    /// What was said
    #[arg(long)]
    pub text: Option<String>,
    /// What came of it
    #[arg(long)]
    pub outcome: Option<String>,
    /// Leave the contact to the owner until this day
    #[arg(long, value_name = "DATE")]
    pub leave_until: Option<NaiveDate>,
}

/// How a colleague dealt with somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HowArg {
    /// By phone
    Call,
    /// Face to face
    Visit,
    /// Writing to and fro
    Chat,
    /// Not at all, but something is worth noting
    Note,
}

impl From<HowArg> for EventType {
    fn from(how: HowArg) -> Self {
        match how {
            HowArg::Call => Self::Call,
            HowArg::Visit => Self::Visit,
            HowArg::Chat => Self::Chat,
            HowArg::Note => Self::Note,
        }
    }
}

/// Notes it.
pub async fn run(args: LogArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let deps = opened.deps(context, Channels::default()).await?;
    let contact = person::find(&mut *opened.pool.acquire().await?, context, &args.contact).await?;
    let spoken = Spoken {
        contact,
        how: args.how.into(),
        text: args.text,
        outcome: args.outcome,
        leave_until: args.leave_until,
        by: actor(),
    };
    by_hand::log(&deps, &spoken, now).await?;
    println!("noted");
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}
