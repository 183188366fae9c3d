//! What happened, as one JSON object or as a short story.

use anyhow::Result;
use serde::Serialize;

use super::DemoArgs;
use super::stage::Stage;
use crate::domain::zone::local_date;
use crate::engine::explain::{self, Tongue};
use crate::store::event;
use crate::store::tally::{self, Counts};

/// Grades before and after.
#[derive(Debug, Serialize)]
pub struct Grades {
    before: Counts,
    after: Counts,
}

/// The figures of a demo, in the form of `--json`.
#[derive(Debug, Serialize)]
pub struct Figures {
    days: u32,
    seed: u64,
    contacts: i64,
    sent: Counts,
    held: Counts,
    grades: Grades,
    moves: Counts,
    responses: Counts,
    won_back: i64,
    birthdays: Counts,
    uncertain: i64,
    lost: i64,
    duplicates: i64,
}

impl Figures {
    /// Reads them from the database.
    pub async fn gather(args: &DemoArgs, stage: &Stage, before: Counts) -> Result<Self> {
        let mut conn = stage.app.deps.pool.acquire().await?;
        let faults = tally::faults(&mut conn).await?;
        let mut sent: Counts = ["email", "sms", "task"].map(|c| (c.to_owned(), 0)).into();
        sent.extend(tally::sent(&mut conn).await?);
        Ok(Self {
            days: args.days,
            seed: args.seed,
            contacts: tally::contacts(&mut conn).await?,
            sent,
            held: tally::held(&mut conn).await?,
            grades: Grades {
                before,
                after: tally::grades(&mut conn).await?,
            },
            moves: tally::moves(&mut conn, stage.begin).await?,
            responses: tally::responses(&mut conn).await?,
            won_back: tally::won_back(&mut conn).await?,
            birthdays: tally::birthdays(&mut conn).await?,
            uncertain: faults.uncertain,
            lost: faults.lost,
            duplicates: faults.duplicates,
        })
    }

    /// Nothing was lost and nothing was sent twice.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicates == 0
    }
}

/// Prints the story.
pub async fn tell(args: &DemoArgs, stage: &Stage, figures: &Figures) -> Result<()> {
    let mut conn = stage.app.deps.pool.acquire().await?;
    let end = stage.app.deps.clock.now();
    println!(
        "\n  {} days of a company with {} contacts, {} to {} (seed {}).\n",
        args.days,
        figures.contacts,
        args.start,
        local_date(end, stage.app.deps.company_zone()),
        args.seed
    );
    println!("  Sent");
    for (cadence, channel, n) in tally::sent_by_cadence(&mut conn).await? {
        println!("    {n:>6}  {cadence} by {channel}");
    }
    println!("\n  Not sent, or not at once, and why");
    for (reason, n) in by_size(&figures.held) {
        println!("    {n:>6}  {reason}");
    }
    println!("\n  What came back");
    for (kind, n) in by_size(&figures.responses) {
        println!("    {n:>6}  {}", kind.replace('_', " "));
    }
    println!("\n  Open leads by grade        before   after");
    for (grade, before) in &figures.grades.before {
        println!(
            "    {grade:<22} {before:>7} {:>7}",
            figures.grades.after.get(grade).copied().unwrap_or(0)
        );
    }
    let moved = |wanted: &str| figures.moves.get(wanted).copied().unwrap_or(0);
    println!("\n  {} leads went from B to A, for example", moved("B->A"));
    let promotions = tally::promotions(&mut conn, 5).await?;
    for one in &promotions {
        let who = one
            .contact
            .as_deref()
            .map(|c| format!(" ({c})"))
            .unwrap_or_default();
        println!(
            "    {}  {}{who}: {}",
            one.at.format("%m-%d"),
            one.account,
            one.because.join(", ")
        );
    }
    println!("\n  {} lost customers came back", figures.won_back);
    for (name, tier, at) in tally::returned(&mut conn, 5).await? {
        println!("    {}  {name} ({tier})", at.format("%m-%d"));
    }
    let birthdays = |calendar: &str| figures.birthdays.get(calendar).copied().unwrap_or(0);
    println!(
        "\n  {} birthdays were kept, {} of them by the lunar calendar",
        birthdays("gregorian") + birthdays("lunar"),
        birthdays("lunar")
    );
    println!(
        "\n  Lost {}, sent twice {}, unknown {}: by comparison with what the sandbox received.",
        figures.lost, figures.duplicates, figures.uncertain
    );
    if let Some(external_id) = promotions.iter().find_map(|p| p.external_id.clone()) {
        let found = event::contacts(&mut conn, &[external_id]).await?;
        if let Some(person) = found.first() {
            println!("\n  One person's whole story (kith explain)\n");
            print!(
                "{}",
                explain::story(&mut conn, person.contact_id, Tongue::English, end).await?
            );
        }
    }
    Ok(())
}

fn by_size(counts: &Counts) -> Vec<(&str, i64)> {
    let mut list: Vec<(&str, i64)> = counts.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    list.sort_by_key(|(word, n)| (-n, *word));
    list
}
