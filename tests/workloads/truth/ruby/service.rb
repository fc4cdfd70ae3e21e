# What every truth service of Ruby does, but for serving: see tests/src/truth/services.rs for what that is.

require 'net/http'

class Service
  attr_reader :name, :port

  def initialize(arguments)
    @name, @port, *@next = arguments
    @port = @port.to_i
    @next.map!(&:to_i)
    @kept = @next.to_h { |port| [port, Queue.new] }
  end

  def start_timer
    return if @next.empty?

    Thread.new do
      (0..).each do |number|
        sleep 0.020
        ask(@next[0], "/timer/#{@name}.#{number}")
      end
    end
  end

  # Asks a service over a kept connection; whether it answered well.
  def ask(port, path)
    connection = begin
      @kept[port].pop(true)
    rescue ThreadError
      Net::HTTP.new('127.0.0.1', port).tap { |it| it.keep_alive_timeout = 600; it.max_retries = 0; it.start }
    end
    answer = connection.get(path)
    @kept[port] << connection
    answer.code == '200' && answer.body == "ok\n"
  end

  # Does what a path asks for; whether it went well.
  def serve(path)
    id = id_of(path) or return true
    kind = habit(id)
    Thread.new { ask(@next[0], "/later/#{id}") } if kind == 0
    sleep 0.002 if kind == 1
    @next.each_with_index.map do |port, at|
      well = ask(port, "/call/#{id}.#{at}")
      sleep 0.001 if kind == 3
      well
    end.all?
  end

  # What is done once the answer to a path is out.
  def after(path)
    id = id_of(path)
    ask(@next[0], "/after/#{id}") if id && habit(id) == 4
  end

  private

  def id_of(path)
    path.delete_prefix('/call/') if path.start_with?('/call/') && !@next.empty?
  end

  def habit(id)
    id.sum % 8
  end
end
