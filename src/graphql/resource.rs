//! Resources: the items of a course, as operators set them and as they stand for learners.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use domain::ResourceId;
use domain::rental::DemoKind;

use super::catalog::Course;
use super::error::{UserError, outcome, scope};
use super::loader::loaders;
use super::scalar::{input_id, named_enum};
use crate::app::caller::Topic;
use crate::app::resource as app;

named_enum! {
    /// How a resource stands for a learner.
    ResourceState(domain::rental::ResourceState)
}

/// What shows what a resource is about: one of the three.
#[derive(Debug, Clone, SimpleObject)]
pub struct ResourceDemo {
    /// A short text.
    text: Option<String>,
    /// The https address of an image.
    image_url: Option<String>,
    /// The https address of a video.
    video_url: Option<String>,
}

impl ResourceDemo {
    /// The demo of a resource.
    pub fn of(demo: Option<&(DemoKind, String)>) -> Option<Self> {
        let (kind, demo) = demo?;
        let of = |wanted| (*kind == wanted).then(|| demo.clone());
        Some(Self { text: of(DemoKind::Text), image_url: of(DemoKind::Image), video_url: of(DemoKind::Video) })
    }
}

/// One item inside a course, such as a lesson, a file or a video.
#[derive(Debug, Clone)]
pub struct Resource(app::Resource);

impl From<app::Resource> for Resource {
    fn from(resource: app::Resource) -> Self {
        Self(resource)
    }
}

#[Object]
impl Resource {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its course.
    async fn course(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Course>> {
        Ok(loaders(ctx)?.one(self.0.course).await?.map(Course::from))
    }

    /// Its course's id.
    async fn course_id(&self) -> ID {
        self.0.course.into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Credits that renting it costs; 0 = it opens with its course.
    async fn cost(&self) -> i64 {
        self.0.cost
    }

    /// Days of 24 hours that a rental lasts.
    async fn days(&self) -> u32 {
        self.0.days
    }

    /// What shows what it is about, before it is rented.
    async fn demo(&self) -> Option<ResourceDemo> {
        ResourceDemo::of(self.0.demo.as_ref())
    }

    /// Its place in the course, from 1.
    async fn position(&self) -> i32 {
        self.0.position.saturating_add(1)
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn touched_at(&self) -> DateTime<Utc> {
        self.0.touched_at
    }

    /// When it left the course's list. What was rented before stays open to its end.
    async fn archived_at(&self) -> Option<DateTime<Utc>> {
        self.0.archived_at
    }
}

/// A resource as it stands for a learner.
#[derive(Debug, Clone)]
pub struct ResourceAccess(app::ResourceView);

impl From<app::ResourceView> for ResourceAccess {
    fn from(view: app::ResourceView) -> Self {
        Self(view)
    }
}

#[Object]
impl ResourceAccess {
    /// The resource.
    async fn id(&self) -> ID {
        self.0.resource.id.into()
    }

    /// Its course.
    async fn course_id(&self) -> ID {
        self.0.resource.course.into()
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.resource.title
    }

    /// Credits that renting it costs; 0 = it opens with its course. `rentalQuote` says what it costs this learner.
    async fn cost(&self) -> i64 {
        self.0.resource.cost
    }

    /// Days of 24 hours that a rental lasts.
    async fn days(&self) -> u32 {
        self.0.resource.days
    }

    /// What shows what it is about, before it is rented.
    async fn demo(&self) -> Option<ResourceDemo> {
        ResourceDemo::of(self.0.resource.demo.as_ref())
    }

    /// How it stands.
    async fn state(&self) -> ResourceState {
        self.0.state.into()
    }

    /// Whether the learner may open it now.
    async fn open(&self) -> bool {
        self.0.state.opens()
    }

    /// Until when it is rented, exclusive; null if it is not.
    async fn rented_until(&self) -> Option<DateTime<Utc>> {
        self.0.rented_until()
    }
}

/// What shows what a resource is about: one of the three.
#[derive(Debug, OneofObject)]
pub enum ResourceDemoInput {
    /// A short text.
    Text(String),
    /// The https address of an image.
    ImageUrl(String),
    /// The https address of a video.
    VideoUrl(String),
}

/// A resource as it is to be.
#[derive(Debug, InputObject)]
pub struct ResourceInput {
    /// The resource; without it, the one of the course that has this title, or else a new one.
    id: Option<ID>,
    /// Title.
    title: String,
    /// Credits that renting it costs; 0 = it opens with its course.
    #[graphql(default)]
    cost: i64,
    /// Days of 24 hours that a rental lasts; 30 when left out.
    days: Option<i64>,
    /// What shows what it is about, before it is rented.
    demo: Option<ResourceDemoInput>,
}

/// The resources of a course: the whole list, in order. What is not in it any more is archived.
#[derive(Debug, InputObject)]
pub struct ResourcesSetInput {
    /// The course.
    course_id: ID,
    /// Its resources, at most 500.
    resources: Vec<ResourceInput>,
}

/// What became of it.
#[derive(Debug, SimpleObject)]
pub struct ResourcesSetPayload {
    /// The course with its resources.
    course: Option<Course>,
    /// Why the call was refused; empty when it was done.
    user_errors: Vec<UserError>,
}

/// Queries of resources.
#[derive(Debug, Default)]
pub struct ResourceQuery;

#[Object]
impl ResourceQuery {
    /// One resource, for operators; learners ask `rentalQuote`, or `me` for the resources of their courses.
    async fn resource(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Resource>> {
        let (_, caller) = scope(ctx)?;
        super::error::answer(caller.require(Topic::Catalog.read()))?;
        match ResourceId::parse(&id) {
            Some(id) => Ok(loaders(ctx)?.one(id).await?.map(Resource)),
            None => Ok(None),
        }
    }
}

/// Mutations of resources.
#[derive(Debug, Default)]
pub struct ResourceMutation;

#[Object]
impl ResourceMutation {
    /// Sets the resources of a course: the whole list, in order. A change of cost or days holds for later rentals.
    async fn resources_set(&self, ctx: &Context<'_>, input: ResourcesSetInput) -> async_graphql::Result<ResourcesSetPayload> {
        let (app, caller) = scope(ctx)?;
        let result = async {
            caller.require(Topic::Catalog.write())?;
            let course = input_id(&input.course_id, "courseId", "course")?;
            let resources = input.resources.into_iter().zip(0usize..).map(|(resource, place)| {
                let id = resource.id.map(|id| input_id(&id, "id", "resource")).transpose();
                Ok(app::ResourceWish {
                    id: id.map_err(|error| error.under(&place.to_string()).under("resources"))?,
                    title: resource.title,
                    cost: resource.cost,
                    days: resource.days,
                    demo: resource.demo.map(|demo| match demo {
                        ResourceDemoInput::Text(text) => (DemoKind::Text, text),
                        ResourceDemoInput::ImageUrl(url) => (DemoKind::Image, url),
                        ResourceDemoInput::VideoUrl(url) => (DemoKind::Video, url),
                    }),
                })
            });
            let cmd = app::ResourcesSet { course, resources: resources.collect::<crate::error::Result<_>>()? };
            app.resources_set(caller, cmd).await
        };
        Ok(match outcome(result.await)? {
            Ok(course) => ResourcesSetPayload { course: loaders(ctx)?.one(course).await?.map(Course::from), user_errors: Vec::new() },
            Err(user_errors) => ResourcesSetPayload { course: None, user_errors },
        })
    }
}
