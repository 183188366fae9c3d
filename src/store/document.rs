//! stub: rules straight from the files
use std::collections::BTreeMap;
use std::path::Path;
use sqlx::PgConnection;
use uuid::Uuid;
use super::StoreError;
use crate::domain::cadence::Cadence;
use crate::domain::holiday::HolidayCalendar;
/// x
pub struct Rules { pub stamp: String, pub gate: crate::domain::gate_rules::GateRules, pub grading: crate::domain::grading::GradingRules, pub retention: crate::domain::retention::RetentionRules, pub company: crate::config::Company, cadences: BTreeMap<Uuid, Cadence>, registry: crate::render::Registry }
fn vid(name: &str) -> Uuid { let d = ring::digest::digest(&ring::digest::SHA256, name.as_bytes()); Uuid::from_slice(&d.as_ref()[..16]).unwrap() }
impl Rules {
 pub fn cadence(&self, id: Uuid) -> Option<&Cadence> { self.cadences.get(&id) }
 pub fn current(&self) -> impl Iterator<Item=(Uuid, &Cadence)> { self.cadences.iter().map(|(a,b)| (*a,b)) }
 pub fn calendar_of(&self, _: Option<&str>) -> Option<&HolidayCalendar> { None }
 pub fn template_version(&self, n: &str) -> Option<Uuid> { Some(vid(n)) }
 pub fn registry(&self) -> &crate::render::Registry { &self.registry }
}
pub async fn rules_stamp(_: &mut PgConnection) -> Result<String, StoreError> { Ok(String::new()) }
pub async fn load(_: &mut PgConnection) -> Result<Rules, StoreError> {
  let s = crate::config::Settings::defaults().unwrap();
  let mut cadences = BTreeMap::new();
  for f in std::fs::read_dir("/tmp/cadences").unwrap() { let t = std::fs::read_to_string(f.unwrap().path()).unwrap(); let c: Cadence = toml::from_str(&t).unwrap(); cadences.insert(vid(&c.name), c); }
  let set = crate::render::TemplateSet::load(Path::new("templates")).unwrap();
  Ok(Rules { stamp: String::new(), gate: s.gate, grading: crate::domain::grading::GradingRules::shipped().unwrap(), retention: crate::domain::retention::RetentionRules::shipped().unwrap(), company: s.company, cadences, registry: crate::render::Registry::compile(&set).unwrap() })
}
