//! Names of people and organisations, put together from short lists; every organisation is invented.

use super::places::Script;
use super::rng::Rng;

/// Simplified, traditional, Latin.
type Word = (&'static str, &'static str, &'static str);

const SURNAMES: &[Word] = &[
    ("王", "王", "Wang"),
    ("李", "李", "Li"),
    ("张", "張", "Zhang"),
    ("刘", "劉", "Liu"),
    ("陈", "陳", "Chen"),
    ("杨", "楊", "Yang"),
    ("黄", "黃", "Huang"),
    ("赵", "趙", "Zhao"),
    ("吴", "吳", "Wu"),
    ("周", "周", "Zhou"),
    ("徐", "徐", "Xu"),
    ("孙", "孫", "Sun"),
    ("马", "馬", "Ma"),
    ("朱", "朱", "Zhu"),
    ("胡", "胡", "Hu"),
    ("林", "林", "Lin"),
    ("郭", "郭", "Guo"),
    ("何", "何", "He"),
    ("高", "高", "Gao"),
    ("罗", "羅", "Luo"),
    ("郑", "鄭", "Zheng"),
    ("梁", "梁", "Liang"),
    ("谢", "謝", "Xie"),
    ("宋", "宋", "Song"),
    ("唐", "唐", "Tang"),
    ("许", "許", "Xu"),
    ("邓", "鄧", "Deng"),
    ("冯", "馮", "Feng"),
    ("韩", "韓", "Han"),
    ("曹", "曹", "Cao"),
];
const GIVEN: &[Word] = &[
    ("伟", "偉", "wei"),
    ("芳", "芳", "fang"),
    ("娜", "娜", "na"),
    ("敏", "敏", "min"),
    ("静", "靜", "jing"),
    ("丽", "麗", "li"),
    ("强", "強", "qiang"),
    ("磊", "磊", "lei"),
    ("军", "軍", "jun"),
    ("洋", "洋", "yang"),
    ("勇", "勇", "yong"),
    ("艳", "艷", "yan"),
    ("杰", "傑", "jie"),
    ("娟", "娟", "juan"),
    ("涛", "濤", "tao"),
    ("明", "明", "ming"),
    ("超", "超", "chao"),
    ("霞", "霞", "xia"),
    ("平", "平", "ping"),
    ("刚", "剛", "gang"),
    ("文", "文", "wen"),
    ("辉", "輝", "hui"),
    ("玲", "玲", "ling"),
    ("华", "華", "hua"),
    ("慧", "慧", "hui"),
    ("建", "建", "jian"),
    ("雨", "雨", "yu"),
    ("晨", "晨", "chen"),
    ("佳", "佳", "jia"),
    ("欣", "欣", "xin"),
    ("志", "志", "zhi"),
    ("海", "海", "hai"),
    ("梅", "梅", "mei"),
    ("云", "雲", "yun"),
    ("琳", "琳", "lin"),
    ("峰", "峰", "feng"),
    ("春", "春", "chun"),
    ("思", "思", "si"),
    ("宇", "宇", "yu"),
    ("宁", "寧", "ning"),
];
const ENGLISH_GIVEN: &[&str] = &[
    "Alice", "Ben", "Carol", "Daniel", "Emma", "Frank", "Grace", "Henry", "Irene", "Jack", "Kate", "Liam",
    "Mary", "Noah", "Olivia", "Peter", "Rachel", "Samuel", "Tess", "William",
];
const ENGLISH_SURNAMES: &[&str] = &[
    "Baker", "Carter", "Dale", "Ellis", "Foster", "Green", "Hall", "Irving", "Jones", "Kent", "Lane",
    "Mason", "Norris", "Owen", "Parker", "Reed", "Shaw", "Turner", "Walsh", "Young",
];
/// As written, and in ASCII for the address.
const GERMAN_GIVEN: &[(&str, &str)] = &[
    ("Anna", "anna"),
    ("Jürgen", "juergen"),
    ("Katrin", "katrin"),
    ("Lukas", "lukas"),
    ("Sabine", "sabine"),
    ("Jörg", "joerg"),
    ("Miriam", "miriam"),
    ("Paul", "paul"),
    ("Ulrike", "ulrike"),
    ("Dieter", "dieter"),
];
const GERMAN_SURNAMES: &[(&str, &str)] = &[
    ("Becker", "becker"),
    ("Müller", "mueller"),
    ("Schäfer", "schaefer"),
    ("Wagner", "wagner"),
    ("Koch", "koch"),
    ("Vogel", "vogel"),
    ("Krüger", "krueger"),
    ("Lang", "lang"),
    ("Hofmann", "hofmann"),
    ("Busch", "busch"),
];

/// A person's name as written, and the words of it for an address.
pub(super) struct PersonName {
    pub written: String,
    pub ascii: String,
}

/// Draws a name in the script.
pub(super) fn person(rng: &mut Rng, script: Script) -> PersonName {
    match script {
        Script::Simplified | Script::Traditional | Script::Pinyin => chinese(rng, script),
        Script::English => {
            let (given, surname) = (rng.pick(ENGLISH_GIVEN), rng.pick(ENGLISH_SURNAMES));
            PersonName {
                written: format!("{given} {surname}"),
                ascii: format!("{given}.{surname}").to_lowercase(),
            }
        }
        Script::German => {
            let (given, surname) = (rng.pick(GERMAN_GIVEN), rng.pick(GERMAN_SURNAMES));
            PersonName {
                written: format!("{} {}", given.0, surname.0),
                ascii: format!("{}.{}", given.1, surname.1),
            }
        }
    }
}

fn chinese(rng: &mut Rng, script: Script) -> PersonName {
    let surname = rng.pick(SURNAMES);
    let mut given = vec![rng.pick(GIVEN)];
    if rng.chance(70) {
        given.push(rng.pick(GIVEN));
    }
    let latin: String = given.iter().map(|word| word.2).collect();
    let written = match script {
        Script::Simplified => given
            .iter()
            .fold(surname.0.to_owned(), |name, word| name + word.0),
        Script::Traditional => given
            .iter()
            .fold(surname.1.to_owned(), |name, word| name + word.1),
        Script::Pinyin | Script::English | Script::German => {
            format!("{} {}{}", surname.2, latin[..1].to_uppercase(), &latin[1..])
        }
    };
    PersonName {
        written,
        ascii: format!("{}.{latin}", surname.2.to_lowercase()),
    }
}

const TREES: &[Word] = &[
    ("柳", "柳", "Willow"),
    ("松", "松", "Pine"),
    ("枫", "楓", "Maple"),
    ("竹", "竹", "Bamboo"),
    ("梨", "梨", "Pear"),
    ("杏", "杏", "Apricot"),
    ("榆", "榆", "Elm"),
    ("桑", "桑", "Mulberry"),
    ("荷", "荷", "Lotus"),
    ("兰", "蘭", "Orchid"),
    ("槐", "槐", "Locust"),
    ("桐", "桐", "Tung"),
    ("橘", "橘", "Tangerine"),
    ("枣", "棗", "Date"),
    ("杉", "杉", "Cedar"),
    ("菊", "菊", "Aster"),
    ("藤", "藤", "Vine"),
    ("苇", "葦", "Reed"),
    ("茶", "茶", "Tea"),
];
const FEATURES: &[Word] = &[
    ("桥", "橋", "Bridge"),
    ("溪", "溪", "Brook"),
    ("塘", "塘", "Pond"),
    ("岭", "嶺", "Ridge"),
    ("湾", "灣", "Bay"),
    ("渡", "渡", "Ferry"),
    ("堤", "堤", "Bank"),
    ("坡", "坡", "Slope"),
    ("井", "井", "Well"),
    ("巷", "巷", "Lane"),
    ("洲", "洲", "Isle"),
    ("谷", "谷", "Vale"),
    ("台", "臺", "Terrace"),
    ("滩", "灘", "Shoal"),
    ("门", "門", "Gate"),
    ("亭", "亭", "Arbour"),
    ("原", "原", "Plain"),
];
/// The trade's word in a name, and the industry it belongs to.
const TRADES: &[(Word, &str)] = &[
    (("五金", "五金", "Tools"), "manufacturing"),
    (("纺织", "紡織", "Textiles"), "manufacturing"),
    (("包装", "包裝", "Packaging"), "manufacturing"),
    (("陶瓷", "陶瓷", "Ceramics"), "manufacturing"),
    (("家具", "家具", "Furniture"), "manufacturing"),
    (("仓储", "倉儲", "Storage"), "logistics"),
    (("货运", "貨運", "Freight"), "logistics"),
    (("食品", "食品", "Foods"), "food"),
    (("粮油", "糧油", "Grain"), "food"),
    (("文具", "文具", "Stationery"), "retail"),
    (("书店", "書店", "Books"), "retail"),
    (("诊所", "診所", "Clinic"), "health"),
    (("教育", "教育", "Learning"), "education"),
];

/// An organisation's name as written in its region, its mail domain and its industry.
pub(super) struct OrganisationName {
    pub written: String,
    pub domain: String,
    pub industry: &'static str,
}

/// The name of the organisation with this number: no two numbers below 4,199 share one.
pub(super) fn organisation(number: usize, country: &str) -> OrganisationName {
    let all = TREES.len() * FEATURES.len() * TRADES.len();
    // A stride that shares no factor with the lists walks through every combination once, and neighbours differ.
    let at = (number * 1_009) % all;
    let tree = TREES[at % TREES.len()];
    let feature = FEATURES[at / TREES.len() % FEATURES.len()];
    let (trade, industry) = TRADES[at / (TREES.len() * FEATURES.len())];
    let latin = format!("{} {} {}", tree.2, feature.2, trade.2);
    let written = match country {
        "CN" => format!("{}{}{}有限公司", tree.0, feature.0, trade.0),
        "TW" => format!("{}{}{}股份有限公司", tree.1, feature.1, trade.1),
        "HK" => format!("{}{}{}有限公司", tree.1, feature.1, trade.1),
        "DE" => format!("{latin} GmbH"),
        "US" => format!("{latin} Inc."),
        _ => format!("{latin} Ltd"),
    };
    OrganisationName {
        written,
        domain: format!("{}.example", latin.to_lowercase().replace(' ', "-")),
        industry,
    }
}
