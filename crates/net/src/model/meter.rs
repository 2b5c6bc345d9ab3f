//! What a sandbox used of a model, and its limits.

use camino::Utf8PathBuf;
use rave_fs::Replace;
use serde::{Deserialize, Serialize};

/// Limits; an absent one is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests for messages.
    pub requests: Option<u64>,
    /// Tokens, sent and received.
    pub tokens: Option<u64>,
    /// Money, in the unit of the prices.
    pub money: Option<f64>,
}

/// The price of a million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens that are sent.
    pub input: f64,
    /// Tokens that are received.
    pub output: f64,
    /// Tokens written to the provider's cache; the same as `input` if absent.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// Tokens read from it; the same as `input` if absent.
    #[serde(default)]
    pub cache_read: Option<f64>,
}

/// Usage so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Requests for messages.
    pub requests: u64,
    /// Tokens that were sent, including those of the cache.
    pub input_tokens: u64,
    /// Tokens that were received.
    pub output_tokens: u64,
    /// Money, in the unit of the prices.
    pub money: f64,
}

/// The tokens of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cache_write: u64,
    pub(crate) cache_read: u64,
}

/// Bytes of a request per token, approximately.
const TOKEN: u64 = 4;

/// The approximate number of tokens in a request of this size.
pub(crate) fn estimate(bytes: u64) -> u64 {
    bytes.div_ceil(TOKEN)
}

#[derive(Debug)]
pub(crate) struct Meter {
    path: Option<Utf8PathBuf>,
    usage: Usage,
    /// Tokens reserved for running requests; they are not in `usage`.
    held: u64,
}

impl Meter {
    /// Continues with the usage in the file.
    pub(crate) fn open(path: Option<Utf8PathBuf>) -> Self {
        let bytes = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let usage = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, usage, held: 0 }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Counts a request, and reserves its tokens until [`Meter::release`]. Fails with the reason if a limit is reached.
    /// `highest` is the highest price.
    pub(crate) fn begin(
        &mut self,
        limits: &Limits,
        highest: Option<&Price>,
        tokens: u64,
    ) -> Result<(), String> {
        let Usage { requests, input_tokens, output_tokens, money } = self.usage;
        let used = input_tokens.saturating_add(output_tokens).saturating_add(self.held);
        if limits.requests.is_some_and(|limit| requests >= limit) {
            return Err(format!("this sandbox has made {requests} requests and has reached its limit"));
        }
        if limits.tokens.is_some_and(|limit| used >= limit) {
            return Err(format!("this sandbox has used {used} tokens and has reached its limit"));
        }
        let held = Tokens { input: self.held, ..Tokens::default() };
        let spent = money + highest.map_or(0.0, |price| cost(held, price));
        if limits.money.is_some_and(|limit| spent >= limit) {
            return Err(format!("this sandbox has spent {spent:.2} and has reached its limit"));
        }
        if limits.money.is_some() && highest.is_none() {
            return Err("money is limited, but the user's configuration has no prices".into());
        }
        self.usage.requests += 1;
        self.hold(tokens);
        self.save();
        Ok(())
    }

    /// Reserves more tokens for a request.
    pub(crate) fn hold(&mut self, tokens: u64) {
        self.held = self.held.saturating_add(tokens);
    }

    /// Releases reserved tokens.
    pub(crate) fn release(&mut self, tokens: u64) {
        self.held = self.held.saturating_sub(tokens);
    }

    /// Counts an answer.
    pub(crate) fn end(&mut self, tokens: Tokens, price: Option<&Price>) {
        let usage = &mut self.usage;
        let input =
            [tokens.input, tokens.cache_write, tokens.cache_read].into_iter().fold(0, u64::saturating_add);
        usage.input_tokens = usage.input_tokens.saturating_add(input);
        usage.output_tokens = usage.output_tokens.saturating_add(tokens.output);
        if let Some(price) = price {
            usage.money += cost(tokens, price);
        }
        self.save();
    }

    fn save(&self) {
        if let Some(path) = &self.path
            && let Ok(text) = serde_json::to_vec(&self.usage)
        {
            // On a full disk, usage is lost at a restart; the value in memory still limits.
            let _ = Replace::new(path).mode(0o600).unsynced().write(text);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of money, to the cent")]
fn cost(tokens: Tokens, price: &Price) -> f64 {
    let of = |count: u64, price: f64| count as f64 * price / 1e6;
    of(tokens.input, price.input)
        + of(tokens.output, price.output)
        + of(tokens.cache_write, price.cache_write.unwrap_or(price.input))
        + of(tokens.cache_read, price.cache_read.unwrap_or(price.input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_stops_requests_and_usage_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("usage.json")).unwrap();
        let price = Price { input: 2.0, output: 10.0, ..Price::default() };
        let mut meter = Meter::open(Some(path.clone()));
        meter.begin(&Limits::default(), None, 0).unwrap();
        meter.end(
            Tokens { input: 400_000, output: 100_000, cache_read: 100_000, cache_write: 0 },
            Some(&price),
        );
        let mut again = Meter::open(Some(path));
        let usage = again.usage();
        assert_eq!((usage.requests, usage.input_tokens, usage.output_tokens), (1, 500_000, 100_000));
        assert!((usage.money - 2.0).abs() < 1e-9, "{usage:?}");
        let none = Limits::default();
        for (limits, why) in [
            (Limits { requests: Some(1), ..none }, "1 requests"),
            (Limits { tokens: Some(600_000), ..none }, "600000 tokens"),
            (Limits { money: Some(1.5), ..none }, "spent 2.00"),
            (Limits { money: Some(5.0), ..none }, "no prices"),
        ] {
            let error = again.begin(&limits, None, 0).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let limits = Limits { requests: Some(2), tokens: Some(600_001), money: Some(5.0) };
        again.begin(&limits, Some(&price), 0).unwrap();
    }

    #[test]
    fn running_requests_count_until_they_are_answered() {
        let price = Price { input: 2.0, output: 10.0, ..Price::default() };
        let begin = |meter: &mut Meter, limits| meter.begin(&limits, Some(&price), 1000);
        for limits in [
            Limits { tokens: Some(1500), ..Limits::default() },
            Limits { money: Some(0.003), ..Limits::default() },
        ] {
            let mut meter = Meter::open(None);
            begin(&mut meter, limits).unwrap();
            begin(&mut meter, limits).unwrap();
            assert!(begin(&mut meter, limits).is_err(), "{limits:?}");
            meter.release(1000);
            begin(&mut meter, limits).unwrap();
        }
    }
}
