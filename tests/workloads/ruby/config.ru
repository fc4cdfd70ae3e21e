# The tour's server on Rack.
fixed = ->(status, body) { [status, { 'Content-Length' => body.bytesize.to_s }, [body]] }
big = '0123456789abcdef' * 65536

run lambda { |request|
  case request['PATH_INFO']
  when '/hello' then fixed.(200, "hello\n")
  when '/big' then fixed.(200, big)
  when '/echo' then fixed.(200, request['rack.input'].read)
  # Without a length: in chunks.
  when '/chunked' then [200, {}, ['one, ', 'two, ', "three\n"].each]
  when '/empty' then [204, {}, []]
  when '/cached' then [304, {}, []]
  when '/fail' then fixed.(500, "failed\n")
  else fixed.(404, "missing\n")
  end
}
