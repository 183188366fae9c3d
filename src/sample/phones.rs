//! Phone numbers that libphonenumber calls valid, in ranges kept for fiction where the country has such.

/// Hands out numbers, each once, by country.
#[derive(Default)]
pub(super) struct Phones {
    /// Country and how many were handed out there.
    given: Vec<(&'static str, usize)>,
}

/// Area codes that may stand before the fictional 555-01xx.
const US_AREAS: &[&str] = &[
    "201", "212", "213", "303", "312", "415", "503", "617", "702", "818",
];

impl Phones {
    /// The next number of the country, E.164.
    pub fn next(&mut self, country: &'static str) -> String {
        let place = self
            .given
            .iter()
            .position(|(known, _)| *known == country)
            .unwrap_or_else(|| {
                self.given.push((country, 0));
                self.given.len() - 1
            });
        let n = self.given[place].1;
        self.given[place].1 += 1;
        match country {
            "HK" => format!("+8525123{n:04}"),
            "TW" => format!("+88690000{n:04}"),
            "SG" => format!("+658123{n:04}"),
            "US" => format!("+1{}55501{:02}", US_AREAS[n / 100 % US_AREAS.len()], n % 100),
            // The fictional mobiles (07700 900xxx) are none to libphonenumber; the fictional London numbers are.
            "GB" => format!("+442079460{n:03}"),
            // The regulator keeps (0)171 39200 xx, (0)176 040690 xx and (0)30 23125 xxx for films.
            "DE" if n < 100 => format!("+4917139200{n:02}"),
            "DE" if n < 200 => format!("+4917604069{:03}", n - 100),
            "DE" => format!("+493023125{:03}", n - 200),
            _ => format!("+861310000{n:04}"),
        }
    }
}
