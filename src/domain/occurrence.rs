//! One coming of something that returns every year.

use chrono::NaiveDate;

/// The day on which a yearly day falls, and the name of that year's coming: `2027` or `2027-lunar-08-15`. The key is
/// made of the day as it is defined, not as it is kept, so that a change of rules does not celebrate it twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The Gregorian date on which it is kept.
    pub date: NaiveDate,
    /// The year's name, unique among the comings of the same yearly day.
    pub key: String,
}
