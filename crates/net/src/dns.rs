//! The guest's DNS queries and our answers (RFC 1035). No server is queried: the policy alone determines the answer.

use std::net::Ipv4Addr;

use crate::name::HostName;

/// The longest query, in bytes: without EDNS none is longer (RFC 1035, 2.3.4).
const MAX: usize = 512;
/// The TTL of an answer in seconds. It is short, so that a change of the rules takes effect (RFC 2308 for denials).
const TTL: u32 = 1;

/// Record types: A, SOA, OPT (IANA, DNS parameters).
pub(crate) const A: u16 = 1;
const SOA: u16 = 6;
const OPT: u16 = 41;
const INTERNET: u16 = 1;
/// The extended error option and its code "Blocked" (RFC 8914, 4.16).
const EDE: u16 = 15;
const BLOCKED: u16 = 15;

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    id: u16,
    /// Recursion desired; echoed in the answer.
    recursion: bool,
    /// The question section as it was sent: name, type and class.
    raw: Vec<u8>,
    /// The name; nothing if it is not a valid host name.
    pub(crate) name: Option<HostName>,
    kind: u16,
    has_edns: bool,
}

/// A message of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// A query.
    Question(Question),
    /// Anything else, with the answer to send.
    Bad(Vec<u8>),
}

/// The answer to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The name has this address.
    Address(Ipv4Addr),
    /// The name exists, but has no record of this type.
    Empty,
    /// The name does not exist (NXDOMAIN), with the reason.
    Denied(&'a str),
    /// It cannot be answered now (SERVFAIL), with the reason.
    Failed(&'a str),
}

/// Response codes (RFC 1035, 4.1.1).
const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

/// Parses a message. Returns nothing if it must not be answered: it is too short to have an ID, or is a response
/// itself.
pub(crate) fn parse(bytes: &[u8]) -> Option<Message> {
    let head: &[u8; 12] = bytes.first_chunk()?;
    let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (id, flags) = (u16_at(0), u16_at(2));
    if flags & 0x8000 != 0 {
        return None;
    }
    let bad = |code| Some(Message::Bad(header(id, flags & 0x0100 != 0, code, [0; 4])));
    if (flags >> 11) & 0xf != 0 {
        return bad(NOT_IMPLEMENTED);
    }
    // One question, no answer and no authority record.
    if bytes.len() > MAX || (u16_at(4), u16_at(6), u16_at(8)) != (1, 0, 0) {
        return bad(FORMAT_ERROR);
    }
    let Some(question) = question(bytes, id, flags & 0x0100 != 0, u16_at(10)) else {
        return bad(FORMAT_ERROR);
    };
    Some(Message::Question(question))
}

fn question(bytes: &[u8], id: u16, recursion: bool, additional: u16) -> Option<Question> {
    let mut at = 12;
    let mut text = String::new();
    let mut is_host = true;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // A longer one is a compression pointer (RFC 1035, 4.1.4), and nothing precedes the first name.
        if length > 63 {
            return None;
        }
        let label = bytes.get(at..at + length)?;
        is_host &= label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|byte| char::from(*byte)));
        at += length;
    }
    let rest = bytes.get(at..at + 4)?;
    let (kind, class) = (u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
    if class != INTERNET {
        return None;
    }
    let end = at + 4;
    Some(Question {
        id,
        recursion,
        raw: bytes[12..end].to_vec(),
        name: text.parse().ok().filter(|_| is_host),
        kind,
        // The root's empty name and the type (RFC 6891, 6.1.2); other records are ignored.
        has_edns: additional > 0
            && bytes.get(end..end + 3).is_some_and(|opt| opt == [0, 0, OPT.to_be_bytes()[1]]),
    })
}

impl Question {
    /// Whether it asks for an IPv4 address, the only kind that is handed out.
    pub(crate) fn wants_address(&self) -> bool {
        self.kind == A
    }

    /// The response message.
    pub(crate) fn answer(&self, answer: Answer<'_>) -> Vec<u8> {
        let (code, error) = match answer {
            Answer::Address(_) | Answer::Empty => (0, None),
            Answer::Denied(why) => (NAME_ERROR, Some(why)),
            Answer::Failed(why) => (SERVER_FAILURE, Some(why)),
        };
        let address = if let Answer::Address(address) = answer { Some(address) } else { None };
        let is_negative = matches!(answer, Answer::Empty | Answer::Denied(_));
        let counts = [1, u8::from(address.is_some()), u8::from(is_negative), u8::from(self.has_edns)];
        let mut bytes = header(self.id, self.recursion, code, counts);
        bytes.extend(&self.raw);
        if let Some(address) = address {
            record(&mut bytes, A, &address.octets());
        }
        if is_negative {
            record(&mut bytes, SOA, &start_of_authority());
        }
        if self.has_edns {
            options(&mut bytes, error);
        }
        bytes
    }
}

fn header(id: u16, recursion: bool, code: u8, counts: [u8; 4]) -> Vec<u8> {
    // QR and AA; RD as in the query; RA (RFC 1035, 4.1.1).
    let flags = [0x84 | u8::from(recursion), 0x80 | code];
    let mut bytes = Vec::with_capacity(MAX);
    bytes.extend(id.to_be_bytes());
    bytes.extend(flags);
    for count in counts {
        bytes.extend(u16::from(count).to_be_bytes());
    }
    bytes
}

/// Appends a record for the queried name, which is at byte 12.
fn record(bytes: &mut Vec<u8>, kind: u16, data: &[u8]) {
    bytes.extend([0xc0, 12]);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend(TTL.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(data);
}

/// Two root names, then serial, refresh, retry, expire and minimum (RFC 1035, 3.3.13). The minimum is how long a denial
/// may be cached (RFC 2308, 4).
fn start_of_authority() -> Vec<u8> {
    let mut data = vec![0, 0];
    for number in [1, TTL, TTL, TTL, TTL] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// Appends an OPT record (RFC 6891, 6.1.2) with the reason of a denial.
fn options(bytes: &mut Vec<u8>, error: Option<&str>) {
    // 1232 bytes fit every link.
    bytes.extend([0, 0, OPT.to_be_bytes()[1], 0x04, 0xd0, 0, 0, 0, 0]);
    let mut data = Vec::new();
    if let Some(why) = error {
        let text: Vec<u8> = why.bytes().take(150).collect();
        data.extend(EDE.to_be_bytes());
        data.extend(u16::try_from(text.len() + 2).unwrap_or_default().to_be_bytes());
        data.extend(BLOCKED.to_be_bytes());
        data.extend(text);
    }
    bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(data);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A query as glibc sends it.
    pub(crate) fn query(name: &str, kind: u16, edns: bool) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        if edns {
            bytes.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Question {
        match parse(bytes) {
            Some(Message::Question(question)) => question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_allowed_name_resolves_with_a_ttl_of_one_second() {
        let question = read(&query("API.example.com", A, false));
        assert_eq!(question.name.as_ref().unwrap().as_str(), "api.example.com");
        assert!(question.wants_address());
        let answer = question.answer(Answer::Address(Ipv4Addr::new(198, 18, 0, 1)));
        assert_eq!(answer[..12], [0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[answer.len() - 16..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 198, 18, 0, 1]);
    }

    #[test]
    fn a_denied_name_does_not_exist_and_has_a_reason() {
        let answer = read(&query("evil.example", A, true)).answer(Answer::Denied("no rule"));
        assert_eq!(answer[3] & 0xf, NAME_ERROR);
        assert_eq!(answer[4..12], [0, 1, 0, 0, 0, 1, 0, 1], "a SOA and an OPT");
        assert!(answer.ends_with(b"\x00\x0d\x00\x0f\x00\x09\x00\x0fno rule"), "{answer:?}");
    }

    #[test]
    fn other_record_types_are_empty() {
        for kind in [28, 65, 64, 16] {
            let question = read(&query("a.example", kind, false));
            assert!(!question.wants_address());
            let answer = question.answer(Answer::Empty);
            assert_eq!((answer[3] & 0xf, &answer[6..10]), (0, &[0, 0, 0, 1][..]));
        }
    }

    #[test]
    fn malformed_queries_are_refused() {
        let code = |bytes: &[u8]| match parse(bytes) {
            Some(Message::Bad(answer)) => answer[3] & 0xf,
            other => panic!("{other:?}"),
        };
        let mut two = query("a.example", A, false);
        two[5] = 2;
        assert_eq!(code(&two), FORMAT_ERROR);
        let mut update = query("a.example", A, false);
        update[2] = 5 << 3;
        assert_eq!(code(&update), NOT_IMPLEMENTED);
        let mut pointer = query("a.example", A, false);
        pointer[12] = 0xc0;
        assert_eq!(code(&pointer), FORMAT_ERROR);
        let mut answer = query("a.example", A, false);
        answer[2] = 0x80;
        assert_eq!(parse(&answer), None, "two servers would answer each other without end");
        assert_eq!(read(&query("a b.example", A, false)).name, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(Message::Question(question)) = parse(&bytes) {
                prop_assert!(question.answer(Answer::Denied(&"x".repeat(500))).len() < 1232);
            }
        }
    }
}
