use proptest::prelude::*;

use super::*;

fn start() -> DateTime<Utc> {
    "2027-03-01T09:00:00Z".parse().unwrap()
}

fn key() -> Key {
    ("sender", "mail".to_owned())
}

fn limited(rate: Rate) -> BTreeMap<Key, Limit> {
    let limit = Limit {
        rate: Some(rate),
        today: None,
    };
    BTreeMap::from([(key(), limit)])
}

/// The most uses that any window of this length holds; both its ends count.
fn busiest(uses: &[DateTime<Utc>], window: TimeDelta) -> usize {
    let mut uses = uses.to_vec();
    uses.sort_unstable();
    (0..uses.len())
        .map(|from| {
            uses[from..]
                .iter()
                .take_while(|at| **at - uses[from] <= window)
                .count()
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn a_rate_is_text() {
    for (text, reserve) in [
        ("10/1s", 2),
        ("600/1m", 10),
        ("1/1h", 1),
        ("5000/1d", 1),
        ("1000/1s", 250),
    ] {
        let rate = Rate::parse(text).unwrap();
        assert_eq!((rate.to_string(), rate.reserve()), (text.to_owned(), reserve));
    }
    for text in ["", "10", "0/1s", "10/0s", "10/2d", "x/1s", "-1/1s", "10/1"] {
        assert!(Rate::parse(text).is_err(), "{text:?}");
    }
}

/// One step of several daemons: who, how much later, how many he asks for, and when in its life each grant is used.
type Play = (usize, i64, usize, u8);

proptest! {
    /// Daemons read and write the one row in any order; who read an old row writes nothing, as in the database.
    #[test]
    fn no_window_holds_more_than_the_rate(
        n in 1_u32..200,
        seconds in prop::sample::select(vec![1_i64, 2, 10, 60, 3600]),
        plays in prop::collection::vec((0_usize..4, 0_i64..3_000, 1_usize..80, 0_u8..=100), 1..200),
    ) {
        let rate = Rate::parse(&format!("{n}/{seconds}s")).unwrap();
        let limits = limited(rate);
        let (mut version, mut stored) = (0_u64, Meter::default());
        let mut read: [Option<(u64, Meter)>; 4] = Default::default();
        let (mut now, mut uses) = (start(), Vec::new());
        let plays: Vec<Play> = plays;
        for (who, later, asked, moment) in plays {
            now += TimeDelta::milliseconds(later * seconds);
            // First he reads; the next time it is his move, he writes what he made of that.
            let Some((seen, meter)) = read[who].take() else {
                read[who] = Some((version, stored.clone()));
                continue;
            };
            let mut meters = BTreeMap::from([(key(), meter)]);
            let keys = [key()];
            let asking: Vec<Request<'_>> = (0..asked)
                .map(|_| Request { keys: &keys, class: Class::Marketing, waited: false })
                .collect();
            let answers = admit(&limits, &mut meters, &asking, now);
            if seen != version {
                continue;
            }
            version += 1;
            stored = meters.remove(&key()).unwrap();
            for answer in answers {
                if let Answer::Go(Some(until)) = answer {
                    uses.push(now + (until - now) * i32::from(moment) / 100);
                }
            }
        }
        prop_assert!(busiest(&uses, TimeDelta::seconds(seconds)) <= n as usize);
    }

    #[test]
    fn the_order_keeps_everybody_and_starves_nobody(
        asking in prop::collection::vec((prop::sample::select(Class::ALL.to_vec()), any::<bool>()), 0..300),
        turn in any::<u32>(),
    ) {
        let mut turn = u64::from(turn);
        let mut ordered = order(&asking, &mut turn);
        ordered.sort_unstable();
        prop_assert_eq!(ordered, (0..asking.len()).collect::<Vec<_>>());
    }
}

#[test]
fn what_a_rate_allows_is_nearly_used() {
    for (text, at_least) in [("10/1s", 0.55), ("600/1m", 0.85), ("36000/1h", 0.95)] {
        let (rate, mut meters, keys) = (Rate::parse(text).unwrap(), BTreeMap::new(), [key()]);
        let limits = limited(rate);
        let asking = vec![
            Request {
                keys: &keys,
                class: Class::Care,
                waited: true
            };
            300
        ];
        let mut granted = 0;
        for quarter in 0..4 * 3600 {
            let now = start() + TimeDelta::milliseconds(250) * quarter;
            let answers = admit(&limits, &mut meters, &asking, now);
            granted += answers.iter().filter(|a| matches!(a, Answer::Go(_))).count();
        }
        let allowed = f64::from(rate.n) * 3600.0 / rate.per.length().num_seconds() as f64;
        assert!(
            granted as f64 >= allowed * at_least,
            "{text}: {granted} of {allowed}"
        );
    }
}

#[test]
fn who_waits_is_told_a_time_of_his_own() {
    let (mut meters, keys) = (BTreeMap::new(), [key()]);
    let limits = limited(Rate::parse("600/1m").unwrap());
    let crowd = vec![
        Request {
            keys: &keys,
            class: Class::Marketing,
            waited: false
        };
        1000
    ];
    let answers = admit(&limits, &mut meters, &crowd, start());
    let turns: Vec<DateTime<Utc>> = answers
        .iter()
        .filter_map(|a| match a {
            Answer::Wait(at) => Some(*at),
            Answer::Go(_) => None,
        })
        .collect();
    assert_eq!(turns.len(), 990);
    assert!(turns.windows(2).all(|pair| pair[0] < pair[1]));
    let lasts = *turns.last().unwrap() - start();
    assert!((100..125).contains(&lasts.num_seconds()), "{lasts}");
    // What is urgent does not go to the end of that line; nor does who comes when he was told to.
    let later = start() + TimeDelta::milliseconds(1);
    for (class, waited) in [(Class::Transactional, false), (Class::Marketing, true)] {
        let who = Request {
            keys: &keys,
            class,
            waited,
        };
        let Answer::Wait(at) = admit(&limits, &mut meters.clone(), &[who], later)[0] else {
            panic!("went")
        };
        assert!(at - later < TimeDelta::seconds(1), "{at}");
    }
    // Nobody came for a long time: the line is forgotten.
    let much_later = start() + TimeDelta::seconds(30);
    let late = vec![
        Request {
            keys: &keys,
            class: Class::Marketing,
            waited: false
        };
        12
    ];
    let answers = admit(&limits, &mut meters, &late, much_later);
    let Answer::Wait(at) = answers[11] else {
        panic!("went")
    };
    assert!(at - much_later < TimeDelta::seconds(1), "{at}");
}

#[test]
fn a_day_has_its_number_and_the_next_one_its_own() {
    let (mut meters, keys) = (BTreeMap::new(), [key()]);
    let on = |day: &str, n| {
        let day: NaiveDate = day.parse().unwrap();
        let ends = day.succ_opt().unwrap().and_time(chrono::NaiveTime::MIN).and_utc();
        BTreeMap::from([(
            key(),
            Limit {
                rate: None,
                today: Some(Quota { day, ends, n }),
            },
        )])
    };
    let crowd = vec![
        Request {
            keys: &keys,
            class: Class::Marketing,
            waited: false
        };
        10
    ];
    let went = |answers: &[Answer]| answers.iter().filter(|a| **a == Answer::Go(None)).count();
    let monday = admit(&on("2027-03-01", 4), &mut meters, &crowd, start());
    assert_eq!(went(&monday), 4);
    assert_eq!(monday[4], Answer::Wait("2027-03-02T00:00:00Z".parse().unwrap()));
    let tuesday = admit(
        &on("2027-03-02", 7),
        &mut meters,
        &crowd,
        start() + TimeDelta::days(1),
    );
    assert_eq!(went(&tuesday), 7);
}

#[test]
fn every_tenth_place_is_for_those_behind() {
    let mut asking = vec![(Class::Transactional, false); 200];
    asking.extend([(Class::Care, false); 20]);
    asking.extend([(Class::Marketing, false); 20]);
    let mut turn = 0;
    let ordered = order(&asking, &mut turn);
    let first: Vec<Class> = ordered[..100].iter().map(|at| asking[*at].0).collect();
    for class in [Class::Care, Class::Marketing] {
        assert_eq!(first.iter().filter(|c| **c == class).count(), 5, "{class:?}");
    }
    // Whose turn it is goes before who has just come.
    let ordered = order(&[(Class::Care, false), (Class::Care, true)], &mut 0);
    assert_eq!(ordered, [1, 0]);
}
