//! The facts that a condition may name.

use super::cadence::Subject;
use super::grade::{Grade, Situation};
use super::tier::{Standing, Tier};

/// What a fact holds, and so which tests fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactType {
    /// Any text: `is`, `in`, `known`.
    Text,
    /// One word of a set: `is`, `in`, `known`.
    Word(Words),
    /// yes or no: `is`, `known`.
    YesNo,
    /// `is`, `in`, `known`, `at_least`, `below`.
    Number,
    /// `known`, `older_than`, `within`. Its column needs an index, as that of a date: audiences look for what crossed an edge.
    Instant,
    /// `known`, `older_than`, `within`, `days_until_at_most`.
    Date,
}

/// A set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// A to D.
    Grade,
    /// greenfield, replacement
    Situation,
    /// vip .. suspect
    Standing,
    /// vip .. small
    Tier,
    /// organisation, person
    AccountKind,
    /// email, sms, phone
    Preferred,
    /// gregorian, lunar
    BirthdayCalendar,
    /// won, lost
    Outcome,
}

impl Words {
    /// The words.
    pub fn all(self) -> Vec<&'static str> {
        match self {
            Self::Grade => Grade::ALL.map(Grade::as_str).to_vec(),
            Self::Situation => vec![Situation::Greenfield.as_str(), Situation::Replacement.as_str()],
            Self::Standing => Standing::ALL.map(Standing::as_str).to_vec(),
            Self::Tier => Tier::ALL.map(Tier::as_str).to_vec(),
            Self::AccountKind => vec!["organisation", "person"],
            Self::Preferred => vec!["email", "sms", "phone"],
            Self::BirthdayCalendar => vec!["gregorian", "lunar"],
            Self::Outcome => vec!["won", "lost"],
        }
    }
}

/// Whose fact it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The person.
    Contact,
    /// The customer the person belongs to.
    Account,
    /// The sale the person is part of; unknown for people outside any.
    Lead,
}

/// A fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// As files write it.
    pub name: &'static str,
    /// Whose it is.
    pub of: Of,
    /// The column or the rule it comes from.
    pub from: From,
    /// What it holds.
    pub kind: FactType,
    /// One line for people.
    pub meaning: &'static str,
}

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A column of the table of the same name.
    Column(&'static str),
    /// Whether a column is filled.
    IsKnown(&'static str),
    /// A lead without outcome, end and reason for giving up.
    OpenLead,
    /// How many purchases the account has.
    PurchaseCount,
}

/// The prefix of a contact's own attributes, which are text.
pub const ATTRIBUTE: &str = "contact.attr.";

const fn contact(name: &'static str, column: &'static str, kind: FactType, meaning: &'static str) -> Fact {
    Fact {
        name,
        of: Of::Contact,
        from: From::Column(column),
        kind,
        meaning,
    }
}

const fn account(name: &'static str, column: &'static str, kind: FactType, meaning: &'static str) -> Fact {
    Fact {
        name,
        of: Of::Account,
        from: From::Column(column),
        kind,
        meaning,
    }
}

const fn lead(name: &'static str, column: &'static str, kind: FactType, meaning: &'static str) -> Fact {
    Fact {
        name,
        of: Of::Lead,
        from: From::Column(column),
        kind,
        meaning,
    }
}

/// Every fact but the contact's own attributes.
pub const FACTS: &[Fact] = &[
    contact("contact.email", "email", FactType::Text, "mail address"),
    contact("contact.phone", "phone", FactType::Text, "phone number, E.164"),
    contact("contact.locale", "locale", FactType::Text, "language tag"),
    contact("contact.region", "region", FactType::Text, "country or province"),
    contact("contact.timezone", "timezone", FactType::Text, "IANA zone"),
    contact(
        "contact.role",
        "role",
        FactType::Text,
        "position in the organisation",
    ),
    contact(
        "contact.decision_maker",
        "decision_maker",
        FactType::YesNo,
        "whether the person decides",
    ),
    contact(
        "contact.preferred_channel",
        "preferred_channel",
        FactType::Word(Words::Preferred),
        "how the person wants to be reached",
    ),
    contact(
        "contact.consent_email",
        "consent_email",
        FactType::YesNo,
        "permission for mail; unknown = never asked",
    ),
    contact(
        "contact.consent_sms",
        "consent_sms",
        FactType::YesNo,
        "permission for SMS; unknown = never asked",
    ),
    contact(
        "contact.birthday_calendar",
        "birthday_calendar",
        FactType::Word(Words::BirthdayCalendar),
        "the calendar the birthday is kept in",
    ),
    contact(
        "contact.next_birthday_on",
        "next_birthday_on",
        FactType::Date,
        "the next birthday",
    ),
    contact(
        "contact.last_human_at",
        "last_human_at",
        FactType::Instant,
        "when a colleague last dealt with the person",
    ),
    contact(
        "contact.leave_until",
        "leave_until",
        FactType::Date,
        "the owner keeps the person to himself until then",
    ),
    account(
        "account.kind",
        "kind",
        FactType::Word(Words::AccountKind),
        "organisation or a person alone",
    ),
    account("account.industry", "industry", FactType::Text, "industry"),
    account("account.size", "size", FactType::Text, "size"),
    account("account.region", "region", FactType::Text, "country or province"),
    account(
        "account.standing",
        "standing",
        FactType::Word(Words::Standing),
        "tier, inactive, prospect or suspect",
    ),
    account(
        "account.standing_since",
        "standing_since",
        FactType::Instant,
        "since when",
    ),
    account(
        "account.tier_at_loss",
        "tier_at_loss",
        FactType::Word(Words::Tier),
        "the tier a lost customer had",
    ),
    account(
        "account.lost_at",
        "lost_at",
        FactType::Instant,
        "when the customer counted as lost; unknown = is not",
    ),
    account(
        "account.won_back_at",
        "won_back_at",
        FactType::Instant,
        "when a lost customer came back",
    ),
    account(
        "account.last_purchase_at",
        "last_purchase_at",
        FactType::Instant,
        "the last purchase",
    ),
    Fact {
        name: "account.purchases",
        of: Of::Account,
        from: From::PurchaseCount,
        kind: FactType::Number,
        meaning: "how many purchases were ever recorded",
    },
    lead(
        "lead.grade",
        "grade",
        FactType::Word(Words::Grade),
        "A to D; unknown = ungraded",
    ),
    lead("lead.grade_since", "grade_since", FactType::Instant, "since when"),
    lead(
        "lead.situation",
        "situation",
        FactType::Word(Words::Situation),
        "whether something is to be replaced",
    ),
    lead(
        "lead.source_channel",
        "source_channel",
        FactType::Text,
        "how the lead came",
    ),
    lead(
        "lead.waiting_for",
        "waiting_for",
        FactType::Text,
        "what the lead waits for",
    ),
    lead(
        "lead.expected_on",
        "expected_on",
        FactType::Date,
        "when what it waits for is expected",
    ),
    lead(
        "lead.expected_close",
        "expected_close",
        FactType::Date,
        "when the sale is expected",
    ),
    lead(
        "lead.likelihood",
        "likelihood",
        FactType::Number,
        "how likely the sale is, as the source states it",
    ),
    lead("lead.value", "value", FactType::Number, "worth of the sale"),
    lead("lead.product", "product", FactType::Text, "what is to be sold"),
    lead(
        "lead.stage",
        "stage",
        FactType::Text,
        "stage in the source's words",
    ),
    lead("lead.opened_at", "opened_at", FactType::Instant, "when it began"),
    lead("lead.closed_at", "closed_at", FactType::Instant, "when it ended"),
    lead(
        "lead.outcome",
        "outcome",
        FactType::Word(Words::Outcome),
        "won or lost; unknown = open",
    ),
    lead(
        "lead.lost_reason",
        "lost_reason",
        FactType::Text,
        "why it was lost",
    ),
    lead(
        "lead.not_fit",
        "not_fit",
        FactType::Text,
        "why it was given up on purpose",
    ),
    Fact {
        name: "lead.has_owner",
        of: Of::Lead,
        from: From::IsKnown("owner_id"),
        kind: FactType::YesNo,
        meaning: "whether a colleague is in charge",
    },
    Fact {
        name: "lead.open",
        of: Of::Lead,
        from: From::OpenLead,
        kind: FactType::YesNo,
        meaning: "neither won nor lost nor given up",
    },
];

/// A fact by name; `contact.attr.NAME` always is one. `None` when there is no such fact.
pub fn fact(name: &str) -> Option<Fact> {
    if name
        .strip_prefix(ATTRIBUTE)
        .is_some_and(|attribute| !attribute.is_empty())
    {
        return Some(contact(
            ATTRIBUTE,
            "attrs",
            FactType::Text,
            "an attribute of the contact",
        ));
    }
    FACTS.iter().find(|fact| fact.name == name).copied()
}

impl Fact {
    /// Whether a cadence about that subject has this fact for certain: a lead's only where a lead is at hand.
    pub fn fits(&self, subject: Subject) -> bool {
        self.of != Of::Lead || subject == Subject::Lead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_whose_they_are() {
        for (position, fact) in FACTS.iter().enumerate() {
            assert!(
                FACTS[..position].iter().all(|other| other.name != fact.name),
                "{}",
                fact.name
            );
            let owner = match fact.of {
                Of::Contact => "contact.",
                Of::Account => "account.",
                Of::Lead => "lead.",
            };
            assert!(fact.name.starts_with(owner), "{}", fact.name);
        }
    }

    #[test]
    fn attributes_are_facts_too() {
        assert_eq!(fact("contact.attr.hobby").unwrap().kind, FactType::Text);
        assert!(fact("contact.attr.").is_none() && fact("contact.hobby").is_none());
        assert!(!fact("lead.grade").unwrap().fits(Subject::Account));
        assert!(fact("account.standing").unwrap().fits(Subject::Lead));
    }
}
