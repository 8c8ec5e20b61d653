//! Heads, bodies and trailers.

use super::*;

#[test]
fn reads_bodies_and_trailers() {
    dialogue(
        &[
            Up(&headers(1, 0, ":method POST\n:scheme https\n:path /a?b\n:authority A.example\nX y")),
            Up(&data(1, 0, b"pi")),
            Up(&data(1, END_STREAM, b"ng")),
            Down(&headers(1, 0, ":status 200\ncontent-type application/grpc")),
            Down(&data(1, 0, b"pong")),
            Down(&headers(1, END_STREAM, "grpc-status 0")),
            End(Dir::Up, Ending::Clean),
            End(Dir::Down, Ending::Clean),
        ],
        &[
            "1> begins",
            "1> POST https://A.example/a?b Http2 X: y;",
            "1> | ping",
            "1> ends Complete",
            "1< begins",
            "1< 200  Http2 content-type: application/grpc;",
            "1< | pong",
            "1< trailers grpc-status: 0;",
            "1< ends Complete",
        ],
    );
}

#[test]
fn an_empty_data_frame_may_end_a_stream() {
    after_get(
        &[Down(&headers(1, 0, ":status 200")), Down(&data(1, 0, b"")), Down(&data(1, END_STREAM, b""))],
        &["1< begins", "1< 200  Http2", "1< ends Complete"],
    );
    after_get(&[Down(&headers(1, END_STREAM, ":status 204"))], &["1< begins", "1< 204  Http2", "1< ends Complete"]);
}

#[test]
fn reads_trailers_of_requests() {
    dialogue(
        &[Up(&headers(1, 0, GET)), Up(&headers(1, END_STREAM, ":path no\nx-sum 1"))],
        &["1> begins", "1> GET https://a/ Http2", "1> trailers x-sum: 1;", "1> ends Complete"],
    );
}

#[test]
fn skips_interim_responses() {
    after_get(
        &[
            Down(&headers(1, 0, ":status 100")),
            Down(&headers(1, 0, ":status 103\nlink x")),
            Down(&headers(1, END_STREAM, ":status 200")),
        ],
        &["1< begins", "1< begins", "1< begins", "1< 200  Http2", "1< ends Complete"],
    );
}

#[test]
fn removes_padding_and_priority() {
    let request = [&[3, 0x80, 0, 0, 0, 7][..], &block(GET), &[0; 3]].concat();
    dialogue(
        &[
            Up(&frame(0x1, END_HEADERS | PADDED | PRIORITY, 1, &request)),
            Up(&data(1, PADDED, b"\x04body\0\0\0\0")),
            Up(&data(1, PADDED | END_STREAM, b"\0")),
        ],
        &["1> begins", "1> GET https://a/ Http2", "1> | body", "1> ends Complete"],
    );
}

#[test]
fn joins_a_field_block_of_many_frames() {
    let fields = block(GET);
    let mut bytes = frame(0x1, END_STREAM, 1, b"");
    for byte in fields.chunks(1) {
        bytes.extend(frame(0x9, 0, 1, byte));
        bytes.extend(frame(0x9, 0, 1, b""));
    }
    bytes.extend(frame(0x9, END_HEADERS, 1, b""));
    dialogue(&[Up(&bytes)], &["1> begins", "1> GET https://a/ Http2", "1> ends Complete"]);
}

#[test]
fn joins_cookies() {
    dialogue(
        &[Up(&headers(1, 0, "x y\ncookie a=1\nz w\ncookie b=2\n:method GET"))],
        &["1> begins", "1> GET  Http2 x: y; cookie: a=1; b=2; z: w;"],
    );
}

#[test]
fn the_tunnel_of_a_connect_is_a_body() {
    dialogue(
        &[
            Up(&headers(1, 0, ":method CONNECT\n:authority b:22")),
            Down(&headers(1, 0, ":status 200")),
            Up(&data(1, 0, b"SSH")),
            Down(&data(1, END_STREAM, b"SSH")),
        ],
        &[
            "1> begins",
            "1> CONNECT b:22b:22 Http2",
            "1< begins",
            "1< 200  Http2",
            "1> | SSH",
            "1< | SSH",
            "1< ends Complete",
        ],
    );
}

#[test]
fn ignores_irrelevant_and_unknown_frames() {
    after_get(
        &[
            Down(&frame(0x6, 0, 0, b"pingpong")),
            Up(&frame(0x8, 0, 1, b"\0\0\x10\0")),
            Up(&frame(0x2, 0, 99, b"\0\0\0\0\x01")),
            Down(&frame(0xfe, 0xff, 1, b"extension")),
            Down(&headers(1, END_STREAM, ":status 200\n:new x\na b")),
        ],
        &["1< begins", "1< 200  Http2 a: b;", "1< ends Complete"],
    );
}
