//! The tables, step by step. Each step is reversible and spells its columns out; it knows nothing of the entities, so that history
//! does not move when they do.
#![expect(elided_lifetimes_in_paths, reason = "the migration trait's signatures are matched only without `<'_>`")]

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{MigrationStatus, MigratorTrait};

mod column;
mod m0001_people;
mod m0002_company;
mod m0003_catalog;
mod m0004_cart;
mod m0005_order;
mod m0006_payment;
mod m0007_access;
mod m0008_work;
mod m0009_coupon;
mod m0010_history;
mod m0011_fulfilment;
mod m0012_mail;
mod m0014_reconciliation;
mod m0016_form_text;
mod m0017_cart_judged;
mod m0017_event;
mod m0018_credit;
mod m0019_product_credit;
mod m0020_rental;
mod m0021_tax;
mod m0022_sales_order;
mod m0023_royalty;
mod m0024_report;
mod m0025_payment_ip;
mod m0026_fulfilment;

/// Applies and reverts the steps.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_people::Migration),
            Box::new(m0002_company::Migration),
            Box::new(m0003_catalog::Migration),
            Box::new(m0004_cart::Migration),
            Box::new(m0005_order::Migration),
            Box::new(m0006_payment::Migration),
            Box::new(m0007_access::Migration),
            Box::new(m0008_work::Migration),
            Box::new(m0009_coupon::Migration),
            Box::new(m0010_history::Migration),
            Box::new(m0011_fulfilment::Migration),
            Box::new(m0012_mail::Migration),
            Box::new(m0014_reconciliation::Migration),
            Box::new(m0016_form_text::Migration),
            Box::new(m0017_cart_judged::Migration),
            Box::new(m0017_event::Migration),
            Box::new(m0018_credit::Migration),
            Box::new(m0019_product_credit::Migration),
            Box::new(m0020_rental::Migration),
            Box::new(m0026_fulfilment::Migration),
            Box::new(m0025_payment_ip::Migration),
            Box::new(m0023_royalty::Migration),
            Box::new(m0022_sales_order::Migration),
            Box::new(m0024_report::Migration),
            Box::new(m0021_tax::Migration),
        ]
    }
}
