//! Sign-in tokens: JWTs signed with Ed25519 by ring, for which `jsonwebtoken` is given a provider of our own.
//!
//! Always true here: the algorithm is ours, never the token's; a token that names another one, or none, is no token.

use std::sync::Once;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use domain::AccountId;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};
use signature::{Error as SignatureError, Signer, Verifier};
use uuid::Uuid;

/// Who issues our tokens.
const ISSUER: &str = "bursar";
/// Longer texts are not looked at; ours have some 350 characters.
const MAX_LENGTH: usize = 2_048;
/// Bytes of the secret that a signing key is made from.
pub const SEED: usize = 32;

/// What a token says. Only who it is and until when: rights are read from the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    iss: String,
    /// The account.
    sub: AccountId,
    /// When it was issued, in seconds since 1970.
    iat: i64,
    /// Until when it is good, in seconds since 1970.
    exp: i64,
    /// The account's stamp when it was issued, in microseconds since 1970; a new stamp ends all earlier sign-ins.
    ses: i64,
}

impl Claims {
    /// The claims of a sign-in to `account`.
    pub fn new(account: AccountId, stamp: DateTime<Utc>, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        Self { iss: ISSUER.to_owned(), sub: account, iat: now.timestamp(), exp: expires_at.timestamp(), ses: stamp.timestamp_micros() }
    }

    /// The account.
    pub const fn account(&self) -> AccountId {
        self.sub
    }

    /// Whether the token is still good at `now`, for an account that carries `stamp`.
    pub fn are_good(&self, stamp: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now.timestamp() < self.exp && self.ses == stamp.timestamp_micros()
    }
}

/// A key that signs and verifies.
pub struct SigningKey {
    id: Uuid,
    seed: SecretBox<[u8; SEED]>,
    public: Vec<u8>,
    retires_at: DateTime<Utc>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// The key with this id and secret.
    ///
    /// # Errors
    /// The secret has another length than [`SEED`].
    pub fn new(id: Uuid, seed: &[u8], retires_at: DateTime<Utc>) -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| anyhow!("a signing key of another length"))?;
        let seed = seed.try_into().map_err(|_| anyhow!("a signing key of another length"))?;
        Ok(Self { id, seed: SecretBox::new(Box::new(seed)), public: pair.public_key().as_ref().to_vec(), retires_at })
    }

    /// Its id.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// Whether it still signs.
    pub fn signs_at(&self, now: DateTime<Utc>) -> bool {
        now < self.retires_at
    }

    /// Signs a token.
    ///
    /// # Errors
    /// Signing failed, which it does not.
    pub fn sign(&self, claims: &Claims) -> anyhow::Result<SecretString> {
        provide();
        let header = Header { kid: Some(self.id.to_string()), ..Header::new(Algorithm::EdDSA) };
        Ok(jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(self.seed.expose_secret()))?.into())
    }

    /// What a token says that this key signed; `None` for anything else. Whether it is still good is another question.
    pub fn read(&self, token: &str) -> Option<Claims> {
        provide();
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The library asks the machine's clock; ours is the caller's.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.set_issuer(&[ISSUER]);
        jsonwebtoken::decode(token, &DecodingKey::from_ed_der(&self.public), &validation).ok().map(|token| token.claims)
    }
}

/// Which key a token says it was signed with; nothing is verified yet.
pub fn key_id(token: &str) -> Option<Uuid> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    Uuid::try_parse(&header.kid?).ok()
}

fn provide() {
    static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Nobody else in this program installs one.
        let _ = PROVIDER.install_default();
    });
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, JwtError> {
    match algorithm {
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_seed_unchecked(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
            Ok(Box::new(EdDsaSigner(pair)))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    match algorithm {
        Algorithm::EdDSA => Ok(Box::new(EdDsaVerifier(key.try_get_as_bytes()?.to_vec()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct EdDsaSigner(Ed25519KeyPair);

impl Signer<Vec<u8>> for EdDsaSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for EdDsaSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct EdDsaVerifier(Vec<u8>);

impl Verifier<Vec<u8>> for EdDsaVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for EdDsaVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::json;
    use sha2::Sha256;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("an instant")
    }

    fn key() -> SigningKey {
        SigningKey::new(Uuid::from_u128(7), &[9; SEED], at(1_000)).expect("a key")
    }

    fn claims() -> Claims {
        Claims::new(AccountId::new(Uuid::from_u128(1)), at(10), at(20), at(30))
    }

    fn part(value: &serde_json::Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// RFC 8037, appendix A: its key, its header and payload, its signature.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        provide();
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64");
        let key = SigningKey::new(Uuid::nil(), &seed, at(0)).expect("a key");
        assert_eq!(URL_SAFE_NO_PAD.encode(&key.public), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signed = jsonwebtoken::crypto::sign(message, &EncodingKey::from_ed_der(&seed), Algorithm::EdDSA).expect("signed");
        assert_eq!(signed, "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let token = key().sign(&claims()).expect("signed");
        assert_eq!(key_id(token.expose_secret()), Some(Uuid::from_u128(7)));
        let read = key().read(token.expose_secret()).expect("ours");
        assert_eq!(read, claims());
        assert!(read.are_good(at(10), at(29)));
        assert!(!read.are_good(at(10), at(30)), "half-open: at its end it is dead");
        assert!(!read.are_good(at(11), at(20)), "another stamp");
        assert!(!read.are_good(at(9), at(20)), "an earlier stamp is another one too");
    }

    #[test]
    fn tokens_of_other_keys_issuers_and_algorithms_are_none() {
        let key = key();
        let good = key.sign(&claims()).expect("signed");
        let (message, signature) = good.expose_secret().rsplit_once('.').expect("three parts");
        let (header, payload) = message.split_once('.').expect("three parts");
        let other = SigningKey::new(Uuid::from_u128(7), &[8; SEED], at(1_000)).expect("a key");
        let named = |alg: &str| part(&json!({ "alg": alg, "typ": "JWT", "kid": Uuid::from_u128(7) }));
        // The public key as the secret of a MAC: what a server that believes the token's own `alg` would accept.
        let mac = |message: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key.public).expect("any length");
            mac.update(message.as_bytes());
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        };
        let confused = format!("{}.{payload}", named("HS256"));
        let foreign = Claims { iss: "somebody".to_owned(), ..claims() };
        let forged = part(&json!({ "iss": ISSUER, "sub": AccountId::new(Uuid::from_u128(2)), "iat": 20, "exp": 30, "ses": 10_000_000 }));
        let endless = part(&json!({ "iss": ISSUER, "sub": claims().sub, "iat": 20, "ses": 10_000_000 }));
        let raw = |message: &str| {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[9; SEED]).expect("a key");
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
        };
        for token in [
            String::new(),
            "..".to_owned(),
            message.to_owned(),
            format!("{message}."),
            format!("{header}.{forged}.{signature}"),
            format!("{}.{payload}.", named("none")),
            format!("{}.{payload}.{signature}", named("none")),
            format!("{confused}.{}", mac(&confused)),
            format!("{}.{payload}.{signature}", named("RS256")),
            other.sign(&claims()).expect("signed").expose_secret().to_owned(),
            key.sign(&foreign).expect("signed").expose_secret().to_owned(),
            raw(&format!("{header}.{endless}")),
        ] {
            assert_eq!(key.read(&token), None, "{token}");
        }
        assert!(key.read(&raw(message)).is_some(), "the helper signs as the key does");
        assert_eq!(key_id(&"x".repeat(MAX_LENGTH + 1)), None);
        assert_eq!(key_id(&format!("{}.{payload}.{signature}", part(&json!({ "alg": "EdDSA", "kid": "../key" })))), None);
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", key()), format!("SigningKey({})", Uuid::from_u128(7)));
    }
}
