//! The kinds of files, and the columns that each has.

/// What a file holds, one record a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// People.
    Contacts,
    /// Customers that are no single person.
    Organisations,
    /// The reps.
    Owners,
    /// Possible sales.
    Leads,
    /// What was bought, and returned.
    Purchases,
    /// Where leads came from and what that cost.
    Campaigns,
}

impl Kind {
    /// Every kind, in the order in which files that refer to each other are imported.
    pub const ALL: [Self; 6] = [
        Self::Owners,
        Self::Organisations,
        Self::Campaigns,
        Self::Contacts,
        Self::Leads,
        Self::Purchases,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Organisations => "organisations",
            Self::Owners => "owners",
            Self::Leads => "leads",
            Self::Purchases => "purchases",
            Self::Campaigns => "campaigns",
        }
    }

    /// Every column that a file of the kind may have.
    #[must_use]
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Contacts => &[
                "external_id",
                "name",
                "email",
                "phone",
                "locale",
                "timezone",
                "region",
                "birthday",
                "birthday_calendar",
                "organisation",
                "role",
                "decision_maker",
                "owner",
                "preferred_channel",
                "best_time",
                "referred_by",
                "consent_email",
                "consent_sms",
                "consent_source",
            ],
            Self::Organisations => &["external_id", "name", "industry", "size", "region", "parent"],
            Self::Owners => &[
                "external_id",
                "name",
                "email",
                "phone",
                "timezone",
                "from_email",
                "signature",
                "deputy",
                "away_from",
                "away_until",
            ],
            Self::Leads => &[
                "external_id",
                "contact",
                "organisation",
                "owner",
                "source_channel",
                "campaign",
                "situation",
                "grade",
                "grade_at",
                "objective_need",
                "felt_need",
                "dissatisfaction",
                "resolve",
                "evaluating",
                "selecting",
                "waiting_for",
                "expected_on",
                "expected_close",
                "likelihood",
                "value",
                "product",
                "stage",
                "opened_at",
                "closed_at",
                "outcome",
                "lost_reason",
                "not_fit",
            ],
            Self::Purchases => &[
                "external_id",
                "contact",
                "organisation",
                "purchased_at",
                "amount",
                "currency",
                "quantity",
                "profit",
                "product",
            ],
            Self::Campaigns => &["external_id", "name", "kind", "channel", "date", "budget", "cost"],
        }
    }

    /// The columns without which a file says nothing. A name is asked of new records only.
    #[must_use]
    pub const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Purchases => &["external_id", "purchased_at", "amount", "currency"],
            _ => &["external_id"],
        }
    }

    /// Columns that need another beside them.
    #[must_use]
    pub const fn pairs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Contacts => &[("birthday_calendar", "birthday")],
            Self::Leads => &[("grade_at", "grade"), ("closed_at", "outcome")],
            _ => &[],
        }
    }

    /// Whether `attr.*` columns are kept.
    #[must_use]
    pub const fn takes_attributes(self) -> bool {
        matches!(self, Self::Contacts)
    }
}
