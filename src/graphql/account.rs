//! Accounts: signing up and in, links, operators, erasure, and `me`.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, MaybeUndefined, MergedObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use domain::AccountId;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::company::MeCompanies;
use super::connection::{List, connection, wants_total};
use super::credit::MeCredits;
use super::error::{UserError, answer, outcome, payload, scope};
use super::learning::MeLearning;
use super::loader::{AttributesOf, loaders};
use super::scalar::input_id;
use crate::app::account::{self as app, Key, Whose};
use crate::app::caller::{Caller, Scope, Scopes};
use crate::app::sign_in::SignedIn;
use crate::error::{Code, Error, Refusal, Result};
use crate::page::ListName;

/// Somebody who can sign in: one account for each e-mail address.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Account {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// The e-mail address as typed; null once the person was erased.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Whether a link that was mailed to the address has been followed. Rights that follow from an address need this.
    pub email_verified: bool,
    /// Whether there is a password; without one, sign-in is by link.
    pub has_password: bool,
    /// The operator's scopes, such as "catalog:write"; null for everybody else.
    pub operator_scopes: Option<Vec<String>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub touched_at: DateTime<Utc>,
}

/// An attribute of an account, by which automatic groups can take people in.
#[derive(Debug, Clone, SimpleObject)]
pub struct AccountAttribute {
    /// Its name, folded.
    pub name: String,
    /// Its value.
    pub value: String,
}

#[ComplexObject]
impl Account {
    /// Its attributes, by name.
    async fn attributes(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<AccountAttribute>> {
        let Some(id) = AccountId::parse(&self.id) else { return Ok(Vec::new()) };
        let found: Vec<(String, String)> = loaders(ctx)?.list(AttributesOf(id)).await?;
        Ok(found.into_iter().map(|(name, value)| AccountAttribute { name, value }).collect())
    }
}

impl From<app::Account> for Account {
    fn from(account: app::Account) -> Self {
        Self {
            id: account.id.to_string().into(),
            email: account.email().map(ToString::to_string),
            name: account.person.name,
            email_verified: account.email_verified_at.is_some(),
            has_password: account.password_hash.is_some(),
            operator_scopes: account.operator,
            created_at: account.created_at,
            touched_at: account.touched_at,
        }
    }
}

/// What somebody is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum Role {
    /// Buys and learns.
    Customer,
    /// Manages at least one enabled company.
    Manager,
    /// Runs the shop.
    Operator,
}

/// The person who is signed in.
///
/// Another topic adds its fields by an `#[Object]` type of its own, in its own file, that holds the account's id; the type becomes a member here
/// and in `Me::of`.
#[derive(MergedObject)]
pub struct Me(MeAccount, MeCompanies, MeLearning, MeCredits);

impl Me {
    fn of(account: AccountId) -> Self {
        Self(MeAccount { account }, MeCompanies(account), MeLearning, MeCredits(account))
    }
}

/// Who it is.
#[derive(Debug)]
pub struct MeAccount {
    account: AccountId,
}

#[Object]
impl MeAccount {
    /// The account.
    async fn account(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Account>> {
        let (app, caller) = scope(ctx)?;
        Ok(answer(app.account(caller, self.account).await)?.map(Account::from))
    }

    /// What the account is here, as of now.
    async fn roles(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Role>> {
        let (_, caller) = scope(ctx)?;
        Ok(roles(caller))
    }
}

fn roles(caller: &Caller) -> Vec<Role> {
    let mut roles = vec![Role::Customer];
    if caller.is_manager() {
        roles.push(Role::Manager);
    }
    if caller.is_operator() {
        roles.push(Role::Operator);
    }
    roles
}

/// Which accounts a list shows; what is left out does not matter.
#[derive(Debug, Default, InputObject, Serialize)]
pub struct AccountFilter {
    /// The one of this address.
    pub email: Option<String>,
    /// Operators only, or nobody who is one.
    pub operator: Option<bool>,
}

/// Queries about accounts.
#[derive(Debug, Default)]
pub struct AccountQuery;

#[Object]
impl AccountQuery {
    /// The person who is signed in; null for guests and programs.
    async fn me(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Me>> {
        let (_, caller) = scope(ctx)?;
        Ok(caller.account().map(Me::of))
    }

    /// An account by id: one's own, or any for callers with `settings:read`.
    async fn account(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Account>> {
        let (app, caller) = scope(ctx)?;
        let Some(id) = AccountId::parse(&id) else { return Ok(None) };
        Ok(answer(app.account(caller, id).await)?.map(Account::from))
    }

    /// All accounts, the newest first. Needs `settings:read`.
    async fn accounts(
        &self,
        ctx: &Context<'_>,
        filter: Option<AccountFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<List<Account>> {
        let (app, caller) = scope(ctx)?;
        let filter = filter.unwrap_or_default();
        let accounts = async {
            let list = ListName::new("accounts", &filter)?;
            let args = list.args(first, after.as_deref())?;
            let page = app.accounts(caller, filter.email.as_deref(), filter.operator, &args, wants_total(ctx)).await?;
            connection(&list, page, |account| (Key::At(account.created_at), account.id.uuid()), Account::from)
        };
        answer(accounts.await)
    }
}

/// Who wants an account.
#[derive(InputObject)]
pub struct AccountSignUpInput {
    /// The e-mail address. There is one account for each, whatever its upper and lower case.
    pub email: String,
    /// A password of 10 to 200 characters that is not among the most usual ones.
    pub password: String,
    /// Full name.
    pub name: Option<String>,
}

/// Who signs in.
#[derive(InputObject)]
pub struct AccountSignInInput {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// A one-time link that was followed.
#[derive(InputObject)]
pub struct AccountLinkRedeemInput {
    /// What stands at the end of the link's address.
    pub token: String,
    /// A password to sign in with from now on.
    pub new_password: Option<String>,
}

/// Who wants a link.
#[derive(InputObject)]
pub struct AccountLinkSendInput {
    /// The account's e-mail address.
    pub email: String,
}

/// Another password.
#[derive(InputObject)]
pub struct AccountPasswordChangeInput {
    /// The password until now.
    pub current_password: String,
    /// The password from now on.
    pub new_password: String,
}

/// Another address.
#[derive(InputObject)]
pub struct AccountEmailChangeInput {
    /// The address from now on.
    pub new_email: String,
    /// The account's password.
    pub password: String,
}

/// Whose rights, and which; exactly one of `accountId` and `email` is given.
#[derive(InputObject)]
pub struct OperatorSetInput {
    /// The account.
    pub account_id: Option<ID>,
    /// The address of the account. One that has no account yet gets one, and a link in the outbox; a known account whose address is not verified
    /// has to be named by its id.
    pub email: Option<String>,
    /// The scopes, such as "catalog:write"; left out: all. Null: no operator any more.
    pub scopes: MaybeUndefined<Vec<String>>,
}

/// Sets attributes of an account.
#[derive(Debug, InputObject)]
pub struct AccountAttributesSetInput {
    /// The account.
    pub account_id: ID,
    /// The attributes; others stay.
    pub attributes: Vec<AccountAttributeInput>,
}

/// An attribute of an account.
#[derive(Debug, InputObject)]
pub struct AccountAttributeInput {
    /// Its name, in any case.
    pub name: String,
    /// Its value; null takes it away.
    pub value: Option<String>,
}

payload! {
    /// What became of it.
    AccountAttributesSetPayload {
        /// The account.
        account: Account
    }
}

/// Whose data to blank.
#[derive(InputObject)]
pub struct PersonEraseInput {
    /// The e-mail address.
    pub email: String,
}

/// What was erased.
#[derive(Debug, SimpleObject)]
pub struct ErasedPerson {
    /// How many versions of name, e-mail and address were blanked now.
    pub versions: u64,
    /// The account that ended, if there was one.
    pub account_id: Option<ID>,
}

impl From<app::Erased> for ErasedPerson {
    fn from(erased: app::Erased) -> Self {
        Self { versions: erased.versions, account_id: erased.account.map(|id| id.to_string().into()) }
    }
}

/// Declares a payload that signs somebody in.
macro_rules! signed_in_payload {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(SimpleObject)]
        pub struct $name {
            /// The account that is signed in now.
            pub account: Option<Account>,
            /// The sign-in, to be sent as `Authorization: Bearer …`.
            pub token: Option<String>,
            /// Until when it is good.
            pub expires_at: Option<DateTime<Utc>>,
            /// Why the call was refused; empty when it was done.
            pub user_errors: Vec<UserError>,
        }

        impl $name {
            fn of(result: Result<SignedIn>) -> async_graphql::Result<Self> {
                Ok(match outcome(result)? {
                    Ok(SignedIn { token, expires_at, account }) => Self {
                        account: Some(account.into()),
                        token: Some(token.expose_secret().to_owned()),
                        expires_at: Some(expires_at),
                        user_errors: Vec::new(),
                    },
                    Err(user_errors) => Self { account: None, token: None, expires_at: None, user_errors },
                })
            }
        }
    };
}

signed_in_payload! {
    /// The new account, signed in.
    AccountSignUpPayload
}
signed_in_payload! {
    /// The sign-in.
    AccountSignInPayload
}
signed_in_payload! {
    /// The sign-in by link.
    AccountLinkRedeemPayload
}
signed_in_payload! {
    /// A fresh sign-in; all earlier ones are over.
    AccountPasswordChangePayload
}
payload! {
    /// Whether a link is on its way.
    AccountLinkSendPayload {
        /// True for every address, so that nobody learns who has an account here.
        sent: bool
    }
}
payload! {
    /// The account with its new address.
    AccountEmailChangePayload {
        /// The account; its address is not verified until the mailed link is followed.
        account: Account
    }
}
payload! {
    /// The operator.
    OperatorSetPayload {
        /// The account as it is now.
        account: Account
    }
}
payload! {
    /// What was erased.
    PersonErasePayload {
        /// What was erased.
        erased: ErasedPerson
    }
}

/// Mutations of accounts.
#[derive(Debug, Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Makes an account and signs in to it. A link that proves the address waits in the outbox. An address that has an account, also one that
    /// a guest's order made, is EMAIL_TAKEN.
    async fn account_sign_up(&self, ctx: &Context<'_>, input: AccountSignUpInput) -> async_graphql::Result<AccountSignUpPayload> {
        let (app, caller) = scope(ctx)?;
        let cmd = app::SignUp { email: input.email, password: input.password.into(), name: input.name };
        AccountSignUpPayload::of(app.account_sign_up(caller, cmd).await)
    }

    /// Signs in by password. After ten failures for one address, tries are RATE_LIMITED.
    async fn account_sign_in(&self, ctx: &Context<'_>, input: AccountSignInInput) -> async_graphql::Result<AccountSignInPayload> {
        let (app, caller) = scope(ctx)?;
        AccountSignInPayload::of(app.account_sign_in(caller, &input.email, &SecretString::from(input.password)).await)
    }

    /// Signs in by a one-time link. The first mailed link that is followed verifies the address: earlier sign-ins and links end, and so does a
    /// password that was set before, unless this call carries a sign-in to the same account.
    async fn account_link_redeem(
        &self,
        ctx: &Context<'_>,
        input: AccountLinkRedeemInput,
    ) -> async_graphql::Result<AccountLinkRedeemPayload> {
        let (app, caller) = scope(ctx)?;
        let (token, password) = (SecretString::from(input.token), input.new_password.map(SecretString::from));
        AccountLinkRedeemPayload::of(app.account_link_redeem(caller, &token, password.as_ref()).await)
    }

    /// Mails a one-time link to an account's address, for whoever has no password or forgot it; an earlier one that was mailed ends.
    async fn account_link_send(&self, ctx: &Context<'_>, input: AccountLinkSendInput) -> async_graphql::Result<AccountLinkSendPayload> {
        let (app, caller) = scope(ctx)?;
        AccountLinkSendPayload::of(app.account_link_send(caller, &input.email).await.map(|()| true))
    }

    /// Exchanges the password of the account that is signed in; its other sign-ins and its links end.
    async fn account_password_change(
        &self,
        ctx: &Context<'_>,
        input: AccountPasswordChangeInput,
    ) -> async_graphql::Result<AccountPasswordChangePayload> {
        let (app, caller) = scope(ctx)?;
        let (current, new) = (SecretString::from(input.current_password), SecretString::from(input.new_password));
        AccountPasswordChangePayload::of(app.account_password_change(caller, &current, &new).await)
    }

    /// Gives the account that is signed in another address, unverified until a link mailed to it is followed. Orders keep the address that they
    /// were placed with.
    async fn account_email_change(
        &self,
        ctx: &Context<'_>,
        input: AccountEmailChangeInput,
    ) -> async_graphql::Result<AccountEmailChangePayload> {
        let (app, caller) = scope(ctx)?;
        AccountEmailChangePayload::of(app.account_email_change(caller, &input.new_email, &SecretString::from(input.password)).await)
    }

    /// Makes somebody an operator, changes their scopes, or ends it. Needs `settings:write`, and nobody gives scopes that they lack.
    async fn operator_set(&self, ctx: &Context<'_>, input: OperatorSetInput) -> async_graphql::Result<OperatorSetPayload> {
        let (app, caller) = scope(ctx)?;
        let set = async {
            caller.require(crate::app::caller::Topic::Settings.write())?;
            let whose = match (&input.account_id, input.email) {
                (Some(id), None) => Whose::Account(input_id(id, "accountId", "account")?),
                (None, Some(email)) => Whose::Email(email),
                (None, None) => return Err(Error::refused(Code::Required, ["accountId"], "Say whose: give accountId or email.")),
                (Some(_), Some(_)) => return Err(Error::refused(Code::Invalid, ["email"], "Give accountId or email, not both.")),
            };
            let scopes = match input.scopes {
                MaybeUndefined::Undefined => Some(Scopes::all()),
                MaybeUndefined::Null => None,
                MaybeUndefined::Value(texts) => Some(scopes(&texts)?),
            };
            app.operator_set(caller, &whose, scopes).await
        };
        OperatorSetPayload::of(set.await)
    }

    /// Sets attributes of an account, by which automatic groups can take people in. Those that are not named stay; null takes one away. Needs
    /// `settings:write`.
    async fn account_attributes_set(
        &self,
        ctx: &Context<'_>,
        input: AccountAttributesSetInput,
    ) -> async_graphql::Result<AccountAttributesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let set = async {
            caller.require(crate::app::caller::Topic::Settings.write())?;
            let id = input_id(&input.account_id, "accountId", "account")?;
            let wishes: Vec<_> = input.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
            app.account_attributes_set(caller, id, &wishes).await
        };
        AccountAttributesSetPayload::of(set.await)
    }

    /// Blanks name, e-mail and postal address of a person wherever they stand, and ends the account; orders and their amounts stay. Needs
    /// `settings:write`. Earlier addresses of the same person are erased by a call of their own.
    async fn person_erase(&self, ctx: &Context<'_>, input: PersonEraseInput) -> async_graphql::Result<PersonErasePayload> {
        let (app, caller) = scope(ctx)?;
        PersonErasePayload::of(app.person_erase(caller, &input.email).await)
    }
}

/// Reads scopes; each bad one is named by its place.
pub(super) fn scopes(texts: &[String]) -> Result<Scopes> {
    let (mut found, mut refusals) = (Vec::with_capacity(texts.len()), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match Scope::parse(text) {
            Some(scope) => found.push(scope),
            None => refusals.push(Refusal::at(
                Code::Invalid,
                ["scopes".to_owned(), index.to_string()],
                format!("{text:?} is no scope; write a topic and a right, such as \"catalog:read\" or \"orders:write\"."),
            )),
        }
    }
    if texts.is_empty() {
        refusals.push(Refusal::at(Code::Required, ["scopes"], "Name at least one scope."));
    }
    if refusals.is_empty() { Ok(found.into_iter().collect()) } else { Err(refusals.into()) }
}
