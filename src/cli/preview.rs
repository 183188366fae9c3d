//! `kith preview`: what a template says to one person.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Context, person};
use crate::domain::segments::segments;
use crate::engine::Channels;
use crate::engine::by_hand;
use crate::render::message::Rendered;

/// Show what a template in force says to a contact, without sending it
#[derive(Debug, Args)]
#[command(after_help = "\
CONTACT is an external id, a mail address or a phone number.

Examples:
  kith preview a-hello --contact ann@example.com
  kith preview a-hello --contact c-17 --locale zh-Hans")]
pub struct PreviewArgs {
    /// Name of the template
    pub template: String,
    /// To whom
    #[arg(long, value_name = "CONTACT")]
    pub contact: String,
    /// In this language instead of the contact's
    #[arg(long, value_name = "L")]
    pub locale: Option<String>,
}

/// Shows it.
pub async fn run(args: PreviewArgs, context: &Context) -> Result<ExitCode> {
    let opened = context.open().await?;
    let now = opened.now().await?;
    let deps = opened.deps(context, Channels::default()).await?;
    let contact = person::find(&mut *opened.pool.acquire().await?, context, &args.contact).await?;
    let shown = by_hand::preview(&deps, &args.template, contact, args.locale.as_deref(), now).await?;
    for message in &shown.messages {
        print!("{}", written(message));
    }
    opened.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn written(message: &Rendered) -> String {
    match message {
        Rendered::Email(mail) => {
            let html = mail
                .html
                .as_ref()
                .map_or(String::new(), |html| format!("\n-- HTML\n{html}\n"));
            format!(
                "== Email, {}\nSubject: {}\n\n{}\n{html}\n",
                mail.locale, mail.subject, mail.text
            )
        }
        Rendered::Sms(sms) => {
            let counted = segments(&sms.text);
            format!(
                "== SMS, {}, {} segment(s) of {}\n{}\n\n",
                sms.locale,
                counted.count,
                counted.encoding.as_str(),
                sms.text
            )
        }
        Rendered::Task(task) => format!("== Task, {}\n{}\n\n{}\n\n", task.locale, task.title, task.body),
    }
}
