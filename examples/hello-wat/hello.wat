;; Answers every request with one line of text: `hello from <HOSTNAME>, path <path>`.
;; HOSTNAME is the pod's name, so three replicas give three answers. Status 200, text/plain, with a content-length.
;; A component needs no more than this and hello.wit: no libc, no adapter, no toolchain.
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

  (memory (export "memory") 1)
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

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $headers i32) (local $body i32) (local $stream i32) (local $response i32) (local $at i32) (local $chunk i32)
    ;; The text: path into 144 (tag), 148 (address), 152 (length).
    (call $path_with_query (local.get $request) (i32.const 144))
    (call $hostname)
    (global.set $text
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (i32.const 32) (i32.add (i32.load (i32.const 132)) (i32.load (i32.const 152))))))
    (global.set $end (global.get $text))
    (call $say (i32.const 80) (i32.const 11))
    (call $say (i32.load (i32.const 128)) (i32.load (i32.const 132)))
    (call $say (i32.const 96) (i32.const 7))
    (if (i32.load8_u (i32.const 144)) (then (call $say (i32.load (i32.const 148)) (i32.load (i32.const 152)))))
    (call $say (i32.const 112) (i32.const 1))
    (call $drop_request (local.get $request))

    (local.set $headers (call $new_fields))
    (call $append (local.get $headers) (i32.const 32) (i32.const 12) (i32.const 48) (i32.const 10) (i32.const 160))
    (local.set $at (call $digits (i32.sub (global.get $end) (global.get $text))))
    (call $append (local.get $headers) (i32.const 64) (i32.const 14)
      (local.get $at) (i32.sub (i32.const 276) (local.get $at)) (i32.const 160))

    (local.set $response (call $new_response (local.get $headers)))
    (call $response_body (local.get $response) (i32.const 168))
    (local.set $body (i32.load offset=4 (i32.const 168)))
    (call $body_write (local.get $body) (i32.const 176))
    (local.set $stream (i32.load offset=4 (i32.const 176)))
    (call $answer (local.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    ;; One write takes at most 4096 bytes.
    (local.set $at (global.get $text))
    (loop $next_chunk
      (local.set $chunk (i32.sub (global.get $end) (local.get $at)))
      (if (i32.gt_u (local.get $chunk) (i32.const 4096)) (then (local.set $chunk (i32.const 4096))))
      (call $write (local.get $stream) (local.get $at) (local.get $chunk) (i32.const 184))
      (local.set $at (i32.add (local.get $at) (local.get $chunk)))
      (br_if $next_chunk (i32.and (i32.eqz (i32.load8_u (i32.const 184))) (i32.lt_u (local.get $at) (global.get $end)))))
    (call $drop_stream (local.get $stream))
    (call $body_finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 200))))
