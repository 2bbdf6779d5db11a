;; A guest of many uses, by the second letter of the path:
;; /trap traps, /spin never ends, /memory grows without end, /exit exits with 1, /log writes a line to stdout, /body sends the request's body
;; back, /out/<authority> calls that authority and sends its body back (or `error <number of the error code>`); any other path says hello.
(module
  (import "wasi:cli/environment@0.2.0" "get-environment" (func $get_environment (param i32)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $new_fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path_with_query (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $new_response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $response_body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $body_write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $body_finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set" (func $answer (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[resource-drop]incoming-request" (func $drop_request (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop_stream (param i32)))

  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $body_stream (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $new_request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $send (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $response_consume (param i32 i32)))
  (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $get_stdout (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 320) "error ")
  (data (i32.const 336) "/from-a-guest")
  (data (i32.const 16) "HOSTNAME")
  (data (i32.const 32) "content-type")
  (data (i32.const 48) "text/plain")
  (data (i32.const 64) "content-length")
  (data (i32.const 80) "hello from ")
  (data (i32.const 96) ", path ")
  (data (i32.const 112) "\n")
  (data (i32.const 120) "nobody")

  ;; 128..256: where calls put their results. 256..276: the digits of content-length. From 4096: what the host allocates.
  (global $next (mut i32) (i32.const 4096))
  ;; Where the text is built, and its end.
  (global $text (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))

  ;; Memory that is never given back: an instance lives for one request.
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
      (br_if $fits
        (i32.ne (i32.const -1) (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1)))))
      unreachable)
    (if (local.get $old_size) (then (memory.copy (local.get $at) (local.get $old) (local.get $old_size))))
    (local.get $at))

  (func $say (param $from i32) (param $length i32)
    (memory.copy (global.get $end) (local.get $from) (local.get $length))
    (global.set $end (i32.add (global.get $end) (local.get $length))))

  (func $same (param $a i32) (param $b i32) (param $length i32) (result i32)
    (loop $next_byte
      (if (i32.eqz (local.get $length)) (then (return (i32.const 1))))
      (if (i32.ne (i32.load8_u (local.get $a)) (i32.load8_u (local.get $b))) (then (return (i32.const 0))))
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (br $next_byte))
    unreachable)

  ;; Puts address and length of HOSTNAME's value, or of `nobody`, at 128 and 132.
  (func $hostname
    (local $entry i32) (local $left i32)
    (call $get_environment (i32.const 128))
    (local.set $entry (i32.load (i32.const 128)))
    (local.set $left (i32.load (i32.const 132)))
    (i32.store (i32.const 128) (i32.const 120))
    (i32.store (i32.const 132) (i32.const 6))
    (loop $next_entry
      (if (i32.eqz (local.get $left)) (then (return)))
      (if (i32.eq (i32.load offset=4 (local.get $entry)) (i32.const 8))
        (then
          (if (call $same (i32.load (local.get $entry)) (i32.const 16) (i32.const 8))
            (then
              (i32.store (i32.const 128) (i32.load offset=8 (local.get $entry)))
              (i32.store (i32.const 132) (i32.load offset=12 (local.get $entry)))
              (return)))))
      (local.set $entry (i32.add (local.get $entry) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $next_entry)))

  ;; Writes a number in decimal so that it ends before 276, and says where it begins.
  (func $digits (param $number i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 276))
    (loop $next_digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (br_if $next_digit (local.get $number)))
    (local.get $at))

  ;; Answers 200 and gives the stream of the body. The body's handle is at 172.
  (func $begin (param $out i32) (param $headers i32) (result i32)
    (local $response i32)
    (local.set $response (call $new_response (local.get $headers)))
    (call $response_body (local.get $response) (i32.const 168))
    (call $body_write (i32.load (i32.const 172)) (i32.const 176))
    (call $answer (local.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (i32.load offset=4 (i32.const 176)))

  (func $end (param $stream i32)
    (call $drop_stream (local.get $stream))
    (call $body_finish (i32.load (i32.const 172)) (i32.const 0) (i32.const 0) (i32.const 200)))

  (func $write_all (param $stream i32) (param $at i32) (param $left i32)
    (local $chunk i32)
    (loop $next_chunk
      (if (i32.eqz (local.get $left)) (then (return)))
      (local.set $chunk (local.get $left))
      (if (i32.gt_u (local.get $chunk) (i32.const 4096)) (then (local.set $chunk (i32.const 4096))))
      (call $write (local.get $stream) (local.get $at) (local.get $chunk) (i32.const 184))
      (if (i32.load8_u (i32.const 184)) (then (return)))
      (local.set $at (i32.add (local.get $at) (local.get $chunk)))
      (local.set $left (i32.sub (local.get $left) (local.get $chunk)))
      (br $next_chunk)))

  ;; Copies a body to a stream, to its end. What was read is thrown away each time.
  (func $copy (param $body i32) (param $to i32)
    (local $from i32) (local $mark i32)
    (call $body_stream (local.get $body) (i32.const 208))
    (local.set $from (i32.load offset=4 (i32.const 208)))
    (local.set $mark (global.get $next))
    (loop $next_read
      (global.set $next (local.get $mark))
      (call $read (local.get $from) (i64.const 16384) (i32.const 216))
      (if (i32.load8_u (i32.const 216)) (then (return)))
      (call $write_all (local.get $to) (i32.load offset=4 (i32.const 216)) (i32.load offset=8 (i32.const 216)))
      (br $next_read)))

  ;; Calls the authority that follows `/out/` in the path.
  (func $call_out (param $out i32)
    (local $request i32) (local $future i32) (local $to i32) (local $at i32)
    (local.set $request (call $new_request (call $new_fields)))
    (drop (call $set_authority (local.get $request) (i32.const 1)
      (i32.add (i32.load (i32.const 148)) (i32.const 5)) (i32.sub (i32.load (i32.const 152)) (i32.const 5))))
    (drop (call $set_path (local.get $request) (i32.const 1) (i32.const 336) (i32.const 13)))
    (call $send (local.get $request) (i32.const 0) (i32.const 0) (i32.const 512))
    (local.set $to (call $begin (local.get $out) (call $new_fields)))
    (if (i32.load8_u (i32.const 512)) (then (call $say_error (local.get $to) (i32.load8_u (i32.const 520))) (return)))
    (local.set $future (i32.load (i32.const 520)))
    (call $block (call $subscribe (local.get $future)))
    ;; option at 640, result at 648, inner result at 656, handle or error code at 664.
    (call $get (local.get $future) (i32.const 640))
    (if (i32.load8_u (i32.const 656)) (then (call $say_error (local.get $to) (i32.load8_u (i32.const 664))) (return)))
    (call $response_consume (i32.load (i32.const 664)) (i32.const 232))
    (call $copy (i32.load offset=4 (i32.const 232)) (local.get $to))
    (call $end (local.get $to)))

  (func $say_error (param $to i32) (param $code i32)
    (local $at i32)
    (call $write_all (local.get $to) (i32.const 320) (i32.const 6))
    (local.set $at (call $digits (local.get $code)))
    (call $write_all (local.get $to) (local.get $at) (i32.sub (i32.const 276) (local.get $at)))
    (call $end (local.get $to)))

  (func $broken_on_purpose unreachable)

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $letter i32) (local $stream i32) (local $at i32)
    (call $path_with_query (local.get $request) (i32.const 144))
    (local.set $letter (i32.load8_u offset=1 (i32.load (i32.const 148))))
    (if (i32.eq (local.get $letter) (i32.const 116)) (then (call $broken_on_purpose)))                          ;; t
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $spin (br $spin))))                            ;; s
    (if (i32.eq (local.get $letter) (i32.const 109)) (then (loop $more (drop (memory.grow (i32.const 16))) (br $more)))) ;; m
    (if (i32.eq (local.get $letter) (i32.const 101)) (then (call $exit (i32.const 1))))                         ;; e
    (if (i32.eq (local.get $letter) (i32.const 111)) (then (call $call_out (local.get $out)) (return)))         ;; o
    (if (i32.eq (local.get $letter) (i32.const 98))                                                             ;; b
      (then
        (call $consume (local.get $request) (i32.const 224))
        (local.set $stream (call $begin (local.get $out) (call $new_fields)))
        (call $copy (i32.load offset=4 (i32.const 224)) (local.get $stream))
        (call $end (local.get $stream))
        (return)))
    (call $hostname)
    (global.set $text
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (i32.const 32) (i32.add (i32.load (i32.const 132)) (i32.load (i32.const 152))))))
    (global.set $end (global.get $text))
    (call $say (i32.const 80) (i32.const 11))
    (call $say (i32.load (i32.const 128)) (i32.load (i32.const 132)))
    (call $say (i32.const 96) (i32.const 7))
    (call $say (i32.load (i32.const 148)) (i32.load (i32.const 152)))
    (call $say (i32.const 112) (i32.const 1))
    (if (i32.eq (local.get $letter) (i32.const 108))                                                            ;; l
      (then (call $write_all (call $get_stdout) (global.get $text) (i32.sub (global.get $end) (global.get $text)))))
    (local.set $stream (call $begin (local.get $out) (call $new_fields)))
    (call $write_all (local.get $stream) (global.get $text) (i32.sub (global.get $end) (global.get $text)))
    (call $end (local.get $stream))))
