//! Answers the guest's DNS messages.

use crate::dns::{self, Answer, Message};
use crate::policy::{Policy, Refusal};
use crate::pool::Pool;
use crate::shared::Shared;
use crate::witness::{Kind, Seen};

/// Why names are not resolved for a while.
const HALTED: &str = "the record of the sandbox cannot be written";

/// The answer to a DNS message of the guest, if it gets one; refusals are recorded.
pub(super) fn resolve(
    message: &[u8],
    policy: &Policy,
    pool: &mut Pool,
    shared: &Shared,
    is_halted: bool,
) -> Option<Vec<u8>> {
    let question = match dns::parse(message)? {
        Message::Question(question) => question,
        Message::Bad(answer) => return Some(answer),
    };
    let Some(name) = &question.name else {
        return Some(question.answer(Answer::Denied("not a host name")));
    };
    if is_halted {
        return Some(question.answer(Answer::Failed(HALTED)));
    }
    // Clients look for services of a host before its address. Rules name the host, and there are no service
    // records.
    let host = name.host_of_service().filter(|_| !question.wants_address());
    let name = host.as_ref().unwrap_or(name);
    let resolvable = match policy.resolve(name) {
        Ok(resolvable) => resolvable,
        Err(refusal) => {
            // Programs look up the names of addresses by themselves.
            if !name.as_str().ends_with(".in-addr.arpa") && !name.as_str().ends_with(".ip6.arpa") {
                let Refusal { rule, allow } = &refusal;
                shared.journal().deny(Kind::Name, name.as_str(), rule, allow.as_ref());
            }
            return Some(question.answer(Answer::Denied(&refusal.rule)));
        }
    };
    if !question.wants_address() {
        return Some(question.answer(Answer::Empty));
    }
    let address = pool.address(name, resolvable.is_wild, std::time::Instant::now());
    if let Some(address) = address {
        let (name, rule) = (name.to_string(), resolvable.rule);
        shared.witness.0.see(Seen::Question { name, rule });
        return Some(question.answer(Answer::Address(address)));
    }
    let why = "too many names";
    shared.journal().deny(Kind::Name, name.as_str(), why, None);
    Some(question.answer(Answer::Failed(why)))
}
