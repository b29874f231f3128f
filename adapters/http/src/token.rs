//! An OAuth access token that is kept while it is good.
//!
//! Always true here: however many calls need a token at once, one of them asks for it; a token that the gateway refuses is replaced once.

use std::fmt;
use std::time::{Duration, Instant};

use port::GatewayError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

/// A token is replaced so long before its end, so that no call arrives with one that has just ended.
const MARGIN: Duration = Duration::from_secs(60);

/// A token in use. Printed without it.
#[derive(Clone)]
pub struct AccessToken {
    secret: SecretString,
    number: u64,
}

impl AccessToken {
    /// The token itself, for the `Authorization` header.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(number {})", self.number)
    }
}

/// The token of one instance.
#[derive(Debug, Default)]
pub struct AccessTokens {
    kept: Mutex<(Option<(AccessToken, Instant)>, u64)>,
}

impl AccessTokens {
    /// Nothing kept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token to use. `refused` is the one that the gateway has just not accepted: it is replaced, unless another call did so meanwhile. `ask`
    /// gets a new token and how long it is good for.
    ///
    /// A call that is refused again with the new token is [`GatewayError::Auth`] for good: do not come back a second time.
    ///
    /// # Errors
    /// What `ask` says.
    pub async fn get<F>(&self, refused: Option<&AccessToken>, ask: impl FnOnce() -> F) -> Result<AccessToken, GatewayError>
    where
        F: Future<Output = Result<(SecretString, Duration), GatewayError>>,
    {
        let mut kept = self.kept.lock().await;
        if let (Some((token, until)), _) = &*kept
            && Instant::now() < *until
            && refused.is_none_or(|refused| refused.number != token.number)
        {
            return Ok(token.clone());
        }
        let number = kept.1 + 1;
        *kept = (None, number);
        let (secret, good_for) = ask().await?;
        let token = AccessToken { secret, number };
        kept.0 = Some((token.clone(), Instant::now() + good_for.saturating_sub(MARGIN)));
        Ok(token)
    }
}
