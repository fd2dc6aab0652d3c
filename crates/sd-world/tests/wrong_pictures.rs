//! The checker finds what is wrong, and nothing else.

use sd_world::{
    Colour, Column, Description, Group, Kind, Object, Position, Reading, Relation, SIDE, Scene,
    Shape, Size, Split, Texture, World, judge, read,
};

/// The first scenes that `fits` picks.
fn scenes(count: usize, fits: impl Fn(&Scene) -> bool) -> Vec<Scene> {
    let world = World::new(2);
    (0..).map(|index| world.outline(Split::HeldOut, index).scene).filter(fits).take(count).collect()
}

/// Exactly these columns are wrong, of those that are asked for; and all in all.
#[track_caller]
fn expect_wrong(scene: &Scene, wrong: &[Column]) {
    let verdict = judge(&scene.description, &read(&scene.draw()));
    for &column in Column::ALL {
        let is_wrong = wrong.contains(&column) || column == Column::All && !wrong.is_empty();
        let found = verdict.get(column);
        assert_ne!(found, Some(is_wrong), "{column}: {scene:#?}\n{verdict:#?}");
    }
}

/// A colour that neither the background nor any object has.
fn new_colour(scene: &Scene) -> Colour {
    let is_new = |colour: &&Colour| {
        scene.background.colour != **colour
            && scene.objects.iter().all(|object| object.colour != **colour)
    };
    *Colour::OF_OBJECTS.iter().find(is_new).expect("more colours than objects")
}

fn paint(object: &mut Object, colour: Colour) {
    object.colour = colour;
    object.shade = colour.shade(0.8);
}

#[test]
fn what_is_right_is_right() {
    for scene in scenes(20, |_| true) {
        expect_wrong(&scene, &[]);
    }
}

#[test]
fn another_colour() {
    for mut scene in scenes(20, |scene| scene.description.kind() == Kind::Single) {
        let colour = new_colour(&scene);
        paint(&mut scene.objects[0], colour);
        let mut wrong = vec![Column::Colour];
        // Where and how large a thing is that is not there, cannot be right.
        wrong.extend(scene.description.position.map(|_| Column::Position));
        wrong.extend(scene.description.groups[0].size.map(|_| Column::Size));
        expect_wrong(&scene, &wrong);
    }
    for mut scene in scenes(10, |scene| scene.description.kind() == Kind::Count) {
        let colour = new_colour(&scene);
        paint(&mut scene.objects[1], colour);
        expect_wrong(&scene, &[Column::Colour]);
    }
}

#[test]
fn another_shape() {
    for mut scene in scenes(25, |scene| scene.description.kind() == Kind::Count) {
        let object = &mut scene.objects[1];
        object.shape = Shape::ALL[(object.shape as usize + 3) % Shape::ALL.len()];
        expect_wrong(&scene, &[Column::Shape]);
    }
}

#[test]
fn another_count() {
    for mut scene in scenes(15, |scene| scene.description.kind() == Kind::Count) {
        scene.objects.pop();
        expect_wrong(&scene, &[Column::Count]);
    }
    // As many in all, but not of each.
    let one_more = |scene: &Scene| {
        let counts: Vec<usize> = scene.description.groups.iter().map(|group| group.count).collect();
        counts == [2, 1] && scene.description.groups.iter().all(|group| group.size.is_none())
    };
    for mut scene in scenes(10, one_more) {
        scene.description.groups[0].count = 1;
        scene.description.groups[1].count = 2;
        expect_wrong(&scene, &[Column::Count]);
    }
}

#[test]
fn another_background() {
    for mut scene in scenes(20, |scene| scene.background.texture == Texture::Plain) {
        let colour = new_colour(&scene);
        scene.background.colour = colour;
        scene.background.shades = [colour.shade(0.8); 2];
        expect_wrong(&scene, &[Column::Background]);
    }
}

#[test]
fn another_texture() {
    let is_textured = |scene: &Scene| {
        scene.description.background.is_some_and(|backdrop| backdrop.texture.is_some())
    };
    for mut scene in scenes(25, is_textured) {
        let texture = scene.background.texture;
        let colour = scene.background.colour;
        scene.background.texture = Texture::ALL[(texture as usize + 1) % Texture::ALL.len()];
        scene.background.shades = [colour.shade(0.0), colour.shade(1.0)];
        expect_wrong(&scene, &[Column::Texture]);
    }
}

#[test]
fn a_swapped_relation() {
    let mirror = |scene: &mut Scene, axis: usize| {
        for object in &mut scene.objects {
            object.centre[axis] = SIDE as f32 - object.centre[axis];
        }
    };
    let axis = |relation| match relation {
        Some(Relation::LeftOf | Relation::RightOf) => Some(0),
        Some(Relation::Above | Relation::Below) => Some(1),
        _ => None,
    };
    for mut scene in scenes(25, |scene| axis(scene.description.relation).is_some()) {
        let along = axis(scene.description.relation).expect("one of those above");
        mirror(&mut scene, 1 - along);
        expect_wrong(&scene, &[]);
        mirror(&mut scene, along);
        expect_wrong(&scene, &[Column::Relation]);
    }
    for mut scene in scenes(20, |scene| scene.description.relation == Some(Relation::Inside)) {
        let outer = &scene.objects[1];
        scene.objects[0].centre = [outer.centre[0], outer.centre[1] - outer.radius];
        let verdict = judge(&scene.description, &read(&scene.draw()));
        assert_eq!(verdict.relation, Some(false), "{scene:#?}");
    }
}

#[test]
fn swapped_colours() {
    let is_mixed = |scene: &Scene| {
        let groups = &scene.description.groups;
        scene.description.kind() == Kind::Pair
            && groups[0].colour != groups[1].colour
            && groups[0].shape != groups[1].shape
            && groups.iter().all(|group| group.size.is_none())
    };
    for mut scene in scenes(20, is_mixed) {
        let colours = [scene.objects[1].colour, scene.objects[0].colour];
        scene.objects.iter_mut().zip(colours).for_each(|(object, colour)| paint(object, colour));
        expect_wrong(&scene, &[Column::Binding, Column::Relation]);
    }
}

#[test]
fn another_position() {
    for mut scene in scenes(25, |scene| scene.description.position.is_some()) {
        let object = &mut scene.objects[0];
        object.centre = if scene.description.position == Some(Position::Centre) {
            [36.0, 36.0]
        } else {
            object.centre.map(|value| SIDE as f32 - value)
        };
        expect_wrong(&scene, &[Column::Position]);
    }
}

#[test]
fn another_size() {
    let is_alone = |scene: &Scene| {
        let description = &scene.description;
        description.kind() == Kind::Single
            && description.groups[0].size.is_some()
            && description.position.is_none()
    };
    for mut scene in scenes(20, is_alone) {
        let object = &mut scene.objects[0];
        object.size = Size::ALL[(object.size as usize + 1) % Size::ALL.len()];
        object.radius = object.size.radii()[0];
        object.centre = [64.0, 64.0];
        expect_wrong(&scene, &[Column::Size]);
    }
}

#[test]
fn any_picture_can_be_read() {
    let noise = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let value = (x + 300 * y).wrapping_mul(2_654_435_761);
        image::Rgb([(value >> 24) as u8, (value >> 16) as u8, (value >> 8) as u8])
    });
    read(&noise);
    assert_eq!(read(&image::RgbImage::new(0, 5)).background, Colour::Black);
    let pattern = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
        image::Rgb(if (x + y) % 2 == 0 { [255; 3] } else { [230, 40, 40] })
    });
    read(&pattern);
    for edge in (0..SIDE).step_by(8) {
        let half = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
            image::Rgb(if x + y < 2 * edge { [255; 3] } else { [230, 40, 40] })
        });
        read(&half);
    }
}

#[test]
fn pictures_of_other_sizes_are_scaled() {
    for scene in scenes(10, |_| true) {
        let image = scene.draw();
        let large =
            image::imageops::resize(&image, 256, 256, image::imageops::FilterType::Triangle);
        assert!(judge(&scene.description, &read(&large)).all());
    }
}

#[test]
fn a_blob_has_no_shape() {
    let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let is_bar = (20..100).contains(&x) && (40..52).contains(&y);
        let is_foot = (20..32).contains(&x) && (40..100).contains(&y);
        image::Rgb(if is_bar || is_foot { [230, 50, 50] } else { [250; 3] })
    });
    let Reading { objects, background, .. } = read(&image);
    assert_eq!((objects.len(), objects[0].shape, background), (1, None, Colour::White));
    let asked = Description::new(vec![Group::one(Colour::Red, Shape::Square)]).on(Colour::White);
    let verdict = judge(&asked, &read(&image));
    assert!(verdict.colour && verdict.count && !verdict.shape && !verdict.all());
}
