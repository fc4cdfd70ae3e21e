# A truth service with a thread for each connection: WEBrick.
# Usage: webrick.rb SERVICE PORT [NEXT…]

require 'webrick'
require_relative 'service'

service = Service.new(ARGV)
server = WEBrick::HTTPServer.new(
  BindAddress: '127.0.0.1', Port: service.port, MaxClients: 512, AccessLog: [],
  Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN), DoNotReverseLookup: true, RequestTimeout: 600,
  AcceptCallback: ->(socket) { socket.setsockopt(:TCP, :NODELAY, true) }
)
server.mount_proc('/') do |request, response|
  well = service.serve(request.path)
  response.status = well ? 200 : 502
  response.body = well ? "ok\n" : "no\n"
end
service.start_timer
server.start
