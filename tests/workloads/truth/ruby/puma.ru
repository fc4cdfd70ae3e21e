# A truth service in Puma's pool of threads. `TRUTH` holds what is the command line elsewhere: SERVICE PORT [NEXT…].

require_relative 'service'

service = Service.new(ENV.fetch('TRUTH').split)
service.start_timer

# An answer whose server tells it when all of it is out.
After = Struct.new(:service, :path, :text) do
  def each
    yield text
  end

  def close
    service.after(path)
  end
end

run(lambda do |environment|
  path = environment['PATH_INFO']
  well = service.serve(path)
  [well ? 200 : 502, { 'content-length' => '3' }, After.new(service, path, well ? "ok\n" : "no\n")]
end)
