//! Who follows a link: a person in a browser or mail program, or a machine that looks before him.
//!
//! Mail scanners and previews fetch every address in a mail. Only a plain GET by something that calls itself a browser
//! or a mail program counts as the person; when in doubt it is a machine, for a false click would move a grade.

/// What a request says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visit<'a> {
    /// The method is HEAD.
    pub head: bool,
    /// `Purpose`, `Sec-Purpose`, `X-Purpose` or `X-Moz`, whichever is there.
    pub purpose: Option<&'a str>,
    /// `User-Agent`.
    pub agent: Option<&'a str>,
}

/// Parts of the names of machines, in lower case.
const MACHINES: &[&str] = &[
    "bot",
    "crawl",
    "spider",
    "scan",
    "preview",
    "prefetch",
    "monitor",
    "headless",
    "facebookexternalhit",
    "whatsapp",
    "slurp",
    "barracuda",
    "proofpoint",
    "mimecast",
    "symantec",
    "trendmicro",
    "safelinks",
    "urldefense",
    "fireeye",
    "python",
    "curl",
    "wget",
    "java/",
    "okhttp",
    "go-http",
    "libwww",
    "http-client",
    "httpclient",
    "node-fetch",
    "axios",
];

/// What mail programs and picture proxies that fetch at the moment of reading call themselves, where they do not begin
/// with "Mozilla/".
const READERS: &[&str] = &["thunderbird", "outlook", "applemail", "foxmail", "qqmail"];

impl Visit<'_> {
    /// Whether a person did it.
    pub fn is_human(&self) -> bool {
        if self.head || self.purpose.is_some_and(says_ahead) {
            return false;
        }
        let Some(agent) = self.agent else { return false };
        let agent = agent.trim().to_lowercase();
        // The bare word is what a mail privacy proxy sends that fetches every picture whether the mail is read or not.
        if agent == "mozilla/5.0" || MACHINES.iter().any(|name| agent.contains(name)) {
            return false;
        }
        agent.starts_with("mozilla/") || READERS.iter().any(|name| agent.contains(name))
    }
}

fn says_ahead(purpose: &str) -> bool {
    let purpose = purpose.to_lowercase();
    ["prefetch", "prerender", "preview"]
        .iter()
        .any(|word| purpose.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    #[test]
    fn a_browser_is_a_person() {
        for agent in [
            FIREFOX,
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0)",
            "Foxmail 7.2",
        ] {
            let visit = Visit {
                agent: Some(agent),
                ..Visit::default()
            };
            assert!(visit.is_human(), "{agent}");
        }
    }

    #[test]
    fn a_machine_is_not() {
        for agent in [
            "",
            "Mozilla/5.0",
            "curl/8.5",
            "Mozilla/5.0 (compatible; bingbot/2.0)",
            "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0",
            "Slack-ImgProxy",
            "something",
        ] {
            let visit = Visit {
                agent: Some(agent),
                ..Visit::default()
            };
            assert!(!visit.is_human(), "{agent}");
        }
        let ahead = |purpose| Visit {
            purpose: Some(purpose),
            agent: Some(FIREFOX),
            head: false,
        };
        assert!(!ahead("prefetch;prerender").is_human() && !ahead("preview").is_human());
        let head = Visit {
            head: true,
            agent: Some(FIREFOX),
            purpose: None,
        };
        assert!(!head.is_human() && !Visit::default().is_human());
    }
}
