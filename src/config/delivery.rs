//! Where messages really go.

use serde::{Deserialize, Serialize};

/// Where messages really go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Sandbox until said otherwise.
    pub mode: Mode,
    /// In rehearsal: addresses, numbers, or whole domains as `@example.com`.
    #[serde(default)]
    pub allow_list: Vec<String>,
}

/// Where messages really go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Into the built-in sandbox; nothing leaves the machine.
    #[default]
    Sandbox,
    /// Out, but only to the allow-list.
    Rehearsal,
    /// Out.
    Live,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sandbox, Self::Rehearsal, Self::Live];

    /// The mode of that text form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// Text form, as in files and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Rehearsal => "rehearsal",
            Self::Live => "live",
        }
    }
}

impl Delivery {
    /// Whether this recipient may be written to outside the sandbox: an address or number, without regard to case.
    pub fn may_leave(&self, recipient: &str) -> bool {
        match self.mode {
            Mode::Sandbox => false,
            Mode::Live => true,
            Mode::Rehearsal => self.allow_list.iter().any(|allowed| {
                let (allowed, recipient) = (allowed.to_lowercase(), recipient.to_lowercase());
                match allowed.strip_prefix('@') {
                    Some(domain) => recipient.rsplit_once('@').is_some_and(|(_, of)| of == domain),
                    None => recipient == allowed,
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_reaches_its_list_only() {
        let delivery = Delivery {
            mode: Mode::Rehearsal,
            allow_list: vec![
                "Ann@a.example".into(),
                "@b.example".into(),
                "+4915100000000".into(),
            ],
        };
        for (recipient, may) in [
            ("ann@A.example", true),
            ("bob@b.example", true),
            ("bob@sub.b.example", false),
            ("b.example", false),
            ("ann@a.example.org", false),
            ("+4915100000000", true),
            ("+4915100000001", false),
        ] {
            assert_eq!(delivery.may_leave(recipient), may, "{recipient}");
        }
        let sandbox = Delivery {
            mode: Mode::Sandbox,
            ..delivery.clone()
        };
        assert!(!sandbox.may_leave("ann@a.example"));
        assert!(
            Delivery {
                mode: Mode::Live,
                ..delivery
            }
            .may_leave("x@y.example")
        );
    }
}
