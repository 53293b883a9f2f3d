//! When a message is of no more use: a header that travels with it.

use crate::{Error, Result};
use jiff::Timestamp;
use std::time::SystemTime;

/// CloudEvents' attribute for it; RFC 3339.
pub(crate) const EXPIRY_HEADER: &str = "expirytime";

/// Reads from a message's headers when it expires, where that is said.
#[must_use]
pub fn expiry(headers: &[u8]) -> Option<SystemTime> {
    // Most messages have none, and their headers are not to be parsed for it.
    let name = EXPIRY_HEADER.as_bytes();
    headers.windows(name.len()).find(|part| *part == name)?;
    let headers: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(headers).ok()?;
    let time: Timestamp = headers.get(EXPIRY_HEADER)?.as_str()?.parse().ok()?;
    Some(time.into())
}

pub(crate) fn rfc3339(time: SystemTime) -> Result<String> {
    let time = Timestamp::try_from(time);
    let time = time
        .map_err(|source| Error::new("bad-time", "no calendar has that time").caused_by(source));
    time.map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::{expiry, rfc3339};
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_time_of_any_zone_is_read_and_what_is_none_is_ignored() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_hours(12);
        let said = |time: &str| expiry(format!(r#"{{"a":"b","expirytime":"{time}"}}"#).as_bytes());
        assert_eq!(said("1970-01-01T12:00:00Z"), Some(noon));
        assert_eq!(said("1970-01-01T13:00:00+01:00"), Some(noon));
        assert_eq!(said(&rfc3339(noon).unwrap()), Some(noon));
        assert_eq!(said("at noon"), None);
        assert_eq!(expiry(b""), None);
        assert_eq!(expiry(br#"{"a":"expirytime"}"#), None);
        assert_eq!(expiry(br#"{"expirytime":7}"#), None);
    }
}
