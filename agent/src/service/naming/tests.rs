//! The table of names.

use super::*;

/// Executable, working directory, command line, name.
const NAMES: &[(&str, &str, &str, &str)] = &[
    // Python: scripts and modules.
    ("/usr/bin/python3.11", "/srv", "python3 shop/app.py", "shop"),
    ("/usr/bin/python3.11", "/srv/shop", "python3 app.py", "shop"),
    ("/usr/bin/python3.11", "/srv/shop", "python3 ./app.py", "shop"),
    ("/usr/bin/python3.11", "/", "python3 /srv/shop/src/main.py", "shop"),
    ("/usr/bin/python3.11", "/srv/shop", "python3 src/main.py", "shop"),
    ("/usr/bin/python3.11", "/app", "python3 app.py", "app"),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 -u -O billing_worker.py --queue app",
        "billing_worker",
    ),
    ("/usr/bin/python3.11", "/srv", "python3 -X dev -W ignore -Wonce till.py", "till"),
    ("/usr/bin/python3.11", "/srv", "python3 -m orders.server 8080", "orders"),
    ("/usr/bin/python3.11", "/srv", "python3 -um orders", "orders"),
    ("/usr/bin/python3.11", "/srv", "python3 -morders.api", "orders"),
    ("/usr/bin/python3.11", "/srv/till", "python3 -m app.main", "till"),
    ("/usr/bin/python3.11", "/srv/till", "python3 -c pass", "till"),
    ("/usr/bin/python3.11", "/", "python3", "python"),
    ("/usr/bin/python3.11", "/srv/shop", "python manage.py runserver 0:8000", "shop"),
    ("/usr/bin/python3.11", "/srv/shop", "python -m http.server", "http.server"),
    ("/usr/bin/python3.11", "/srv/shop", "python -m http.server 8000 -d /srv/docs", "http.server"),
    (
        "/usr/bin/python3.11",
        "/srv/shop",
        "python -m wsgiref.simple_server",
        "wsgiref.simple_server",
    ),
    // A virtual environment: the interpreter is the system's, the folder is the service's.
    ("/usr/bin/python3.11", "/", "/srv/shop/venv/bin/python /srv/shop/venv/bin/serve", "shop"),
    (
        "/usr/bin/python3.11",
        "/",
        "/srv/shop/.venv/bin/python3 /srv/shop/.venv/bin/till-api",
        "till-api",
    ),
    ("/usr/bin/python3.11", "/srv/shop", "venv/bin/python app.py", "shop"),
    ("/srv/shop/venv/bin/python3", "/srv/shop", "/srv/shop/venv/bin/python3 -m shop.api", "shop"),
    (
        "/usr/bin/python3.11",
        "/",
        "/srv/till/venv/bin/python /srv/till/venv/bin/gunicorn shop.wsgi",
        "shop",
    ),
    // Two that are called alike in different folders, and two parts of one.
    ("/usr/bin/python3.11", "/srv/till", "python3 app.py", "till"),
    ("/usr/bin/python3.11", "/srv/till", "python3 worker.py", "till-worker"),
    ("/usr/bin/python3.11", "/", "python3 /srv/shop/scheduler.py", "shop-scheduler"),
    ("/usr/bin/python3.11", "/app", "python3 worker.py", "worker"),
    ("/usr/bin/python3.11 (deleted)", "/srv", "python3 shop/app.py", "shop"),
    // Python: servers.
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/gunicorn shop.wsgi", "shop"),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/gunicorn shop:app", "shop"),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 /usr/bin/gunicorn -w 4 -b unix:/run/x.sock shop.wsgi:application",
        "shop",
    ),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 /usr/bin/gunicorn -b localhost:8000 -k gevent shop.wsgi",
        "shop",
    ),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/gunicorn shop.wsgi -k gevent -w 4", "shop"),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 /usr/bin/gunicorn --workers=4 shop:create_app()",
        "shop",
    ),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/gunicorn --name till shop.wsgi", "till"),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/gunicorn -n till-api shop.wsgi", "till-api"),
    ("/usr/bin/python3.11", "/srv/till", "python3 /usr/bin/gunicorn app:app", "till"),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/uvicorn --factory shop.main:create", "shop"),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 -m celery -A shop worker -n worker1@%h -l info",
        "shop",
    ),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/celery --app=shop.tasks beat", "shop"),
    ("/usr/bin/python3.11", "/srv/till", "python3 /usr/bin/gunicorn wsgi", "till"),
    ("/usr/bin/python3.11", "/app", "python3 /usr/bin/gunicorn app:app", "app"),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 /usr/bin/uvicorn shop.main:app --host 0.0.0.0 --port 80",
        "shop",
    ),
    ("/usr/bin/python3.11", "/srv", "python3 -m uvicorn --port 80 src.shop.main:app", "shop"),
    ("/usr/bin/python3.11", "/srv/till", "python3 -m flask run", "till"),
    ("/usr/bin/python3.11", "/srv", "python3 /usr/bin/flask --app shop run --port 5000", "shop"),
    (
        "/usr/bin/python3.11",
        "/srv",
        "python3 /usr/bin/celery -A billing.tasks worker -l info",
        "billing",
    ),
    ("/usr/bin/uwsgi-core", "/srv", "uwsgi --http :80 --module shop.wsgi:app", "shop"),
    ("/usr/bin/uwsgi-core", "/srv", "uwsgi --http :80 --wsgi-file shop/app.py", "shop"),
    ("/usr/bin/uwsgi-core", "/srv", "uwsgi --ini /etc/uwsgi/vassals/till.ini", "till"),
    ("/usr/bin/uwsgi-core", "/srv", "uwsgi --ini /srv/till/uwsgi.ini:prod", "till"),
    ("/usr/bin/uwsgi-core", "/", "uwsgi --http :80", "uwsgi"),
    // Java.
    ("/usr/lib/jvm/bin/java", "/", "java -jar billing-1.2.jar", "billing"),
    (
        "/usr/lib/jvm/bin/java",
        "/",
        "java -Xmx1g -cp lib/* -jar /opt/x/order-service-1.2.3-SNAPSHOT.jar --x",
        "order-service",
    ),
    ("/usr/lib/jvm/bin/java", "/", "java -jar till-v2-all.jar", "till"),
    ("/usr/lib/jvm/bin/java", "/", "java -jar h2-console.jar", "h2-console"),
    ("/usr/lib/jvm/bin/java", "/", "java -jar /opt/till/app.jar", "till"),
    ("/usr/lib/jvm/bin/java", "/srv/till", "java -jar app.jar", "till"),
    ("/usr/lib/jvm/bin/java", "/", "java com.acme.Billing", "Billing"),
    (
        "/usr/lib/jvm/bin/java",
        "/",
        "java -cp a:b --add-opens java.base/java.lang=ALL-UNNAMED -Dx=y com.acme.Billing 8",
        "Billing",
    ),
    ("/usr/lib/jvm/bin/java", "/", "java -cp a com.acme.billing.Main", "billing"),
    ("/usr/lib/jvm/bin/java", "/srv/till", "java -cp a Main", "till"),
    (
        "/usr/lib/jvm/bin/java",
        "/srv/till",
        "java -cp a org.springframework.boot.loader.launch.JarLauncher",
        "till",
    ),
    ("/usr/lib/jvm/bin/java", "/", "java -p mods -m shop.core/com.acme.Till", "Till"),
    (
        "/usr/lib/jvm/bin/java",
        "/",
        "java -cp a org.apache.catalina.startup.Bootstrap start",
        "tomcat",
    ),
    (
        "/usr/lib/jvm/bin/java",
        "/",
        "java -Dcatalina.base=/var/lib/till -cp a org.apache.catalina.startup.Bootstrap start",
        "till",
    ),
    ("/usr/lib/jvm/bin/java", "/", "java Billing.java", "Billing"),
    // Spring Boot.
    ("/usr/lib/jvm/bin/java", "/app", "java -jar /app/billing-0.0.1-SNAPSHOT.jar", "billing"),
    ("/usr/lib/jvm/bin/java", "/app", "java -Dspring.application.name=till -jar app.jar", "till"),
    ("/usr/lib/jvm/bin/java", "/app", "java -jar app.jar --spring.application.name=till", "till"),
    (
        "/usr/lib/jvm/bin/java",
        "/app",
        "java -javaagent:o.jar -Dotel.service.name=till -jar a.jar",
        "till",
    ),
    ("/usr/lib/jvm/bin/java", "/", "java -jar /usr/share/jenkins/jenkins.war", "jenkins"),
    // Node.
    ("/usr/bin/node", "/srv/till", "node server.js", "till"),
    ("/usr/bin/node", "/srv", "node till/dist/index.js", "till"),
    ("/usr/bin/node", "/srv", "node -r dotenv/config --inspect=0 till.mjs", "till"),
    ("/usr/bin/node", "/srv/till", "node /srv/till/node_modules/.bin/next start", "till"),
    ("/usr/bin/node", "/srv/till", "node -e 1", "till"),
    ("/usr/bin/bun", "/srv/till", "bun run server.ts", "till"),
    ("/usr/bin/node", "/", "node", "node"),
    ("/usr/bin/node", "/srv/till", "node /usr/bin/npm start", "till"),
    ("/usr/bin/node", "/srv/till", "node /usr/lib/node_modules/npm/bin/npm-cli.js start", "till"),
    (
        "/usr/bin/node",
        "/srv/till",
        "node /usr/lib/node_modules/pm2/lib/ProcessContainerFork.js",
        "till",
    ),
    ("/usr/bin/node", "/srv/till", "node worker.js", "till-worker"),
    ("/usr/bin/deno", "/srv/till", "deno run --allow-net server.ts", "till"),
    // Others that run programs.
    ("/usr/bin/ruby3.1", "/srv/till", "ruby /usr/bin/rails server", "till"),
    ("/usr/bin/ruby3.1", "/srv", "ruby billing.rb", "billing"),
    ("/usr/bin/php8.2", "/srv/till", "php -S 0:80 -t public", "till"),
    ("/usr/bin/php8.2", "/srv", "php worker.php", "worker"),
    ("/usr/bin/php8.2", "/srv/till", "php artisan queue:work", "till"),
    ("/usr/bin/php8.2", "/", "php -S 0:80 -t /srv/till/public", "till"),
    ("/usr/bin/php8.2", "/srv/till/public", "php -S 127.0.0.1:8000 /srv/till/server.php", "till"),
    ("/usr/bin/mono", "/srv", "mono /opt/x/Billing.exe", "Billing"),
    (
        "/usr/lib/erlang/erts-14/bin/beam.smp",
        "/",
        "beam.smp -- -root /srv -sname till@web1 -boot x",
        "till",
    ),
    ("/usr/lib/erlang/erts-14/bin/beam.smp", "/srv/till", "beam.smp -- -root /srv", "till"),
    ("/usr/bin/dotnet", "/srv", "dotnet /opt/x/Billing.dll --urls http://*:80", "Billing"),
    ("/usr/bin/dotnet", "/srv/till", "dotnet run", "till"),
    ("/usr/bin/perl", "/srv", "perl -I lib stock.pl", "stock"),
    // Shell wrappers, and prompts.
    ("/usr/bin/bash", "/srv", "bash -e ./poll.sh", "poll"),
    ("/usr/bin/dash", "/", "sh /opt/till/run.sh", "till"),
    ("/usr/bin/bash", "/srv/till", "bash", "bash"),
    ("/usr/bin/bash", "/srv/till", "-bash", "bash"),
    ("/usr/bin/dash", "/srv/till", "sh -c exec", "dash"),
    // Native.
    ("/usr/sbin/nginx", "/", "nginx: worker process", "nginx"),
    ("/usr/sbin/apache2", "/", "/usr/sbin/apache2 -k start", "apache2"),
    ("/usr/sbin/php-fpm8.2", "/", "php-fpm: pool www", "php-fpm"),
    ("/usr/local/bin/billing", "/", "billing --port 80", "billing"),
    ("/srv/till/bin/server", "/", "./bin/server", "till"),
    ("/app/server", "/", "./server", "server"),
    ("/usr/bin/curl", "/root", "curl http://x/", "curl"),
    ("/opt/billing2/billing2", "/", "billing2", "billing2"),
    ("/opt/till/bin/worker", "/", "worker", "till-worker"),
    ("/usr/sbin/cron", "/", "cron -f", "cron"),
    // One file that is many programs.
    ("/bin/busybox", "/", "wget http://x/", "wget"),
    ("/bin/busybox", "/", "busybox httpd -f", "httpd"),
    ("/bin/busybox", "/srv", "/bin/sh /opt/till/run.sh", "till"),
    ("/bin/busybox", "/", "-sh", "sh"),
    ("/bin/busybox", "/", "busybox", "busybox"),
    // Go: built, and as `go run` builds it.
    ("/srv/till/till", "/srv/till", "./till", "till"),
    ("/root/.cache/go-build/ab/exe/main", "/srv/till", "/root/.cache/go-build/ab/exe/main", "till"),
    ("/tmp/go-build123/b001/exe/till", "/srv/x", "/tmp/go-build123/b001/exe/till", "till"),
    ("/usr/sbin/httpd", "/", "/usr/sbin/httpd -DFOREGROUND", "httpd"),
    ("", "/", "billing", "billing"),
];

fn facts(exe: &str, directory: &str, line: &str) -> ProcessFacts {
    // A title is one argument, blanks and all.
    let title = line.contains(": ");
    ProcessFacts {
        exe: exe.into(),
        directory: directory.into(),
        arguments: if title {
            vec![line.to_owned()]
        } else {
            line.split(' ').map(str::to_owned).collect()
        },
        ..ProcessFacts::default()
    }
}

#[test]
fn the_table_of_names() {
    let mut wrong = Vec::new();
    for (exe, directory, line, expected) in NAMES {
        let name = name(&facts(exe, directory, line), &Environment::default(), None);
        if name != *expected {
            wrong.push(format!("{exe} in {directory}: {line}: {name}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn titles_name_what_the_arguments_named() {
    for (exe, directory, title, expected) in [
        ("/usr/bin/python3", "/", "gunicorn: worker [shop.wsgi:app]", "shop"),
        ("/usr/bin/python3", "/", "gunicorn: master [till]", "till"),
        (
            "/usr/bin/python3",
            "/",
            "[celeryd: celery@w:MainProcess] -active- (worker -A shop.tasks)",
            "shop",
        ),
        ("/usr/bin/ruby", "/", "puma: cluster worker 0: 17 [till]", "till"),
        ("/usr/bin/ruby", "/", "puma 6.4.0 (tcp://0.0.0.0:3000) [till]", "till"),
        ("/usr/bin/ruby", "/srv/till", "puma 6.4.0 (tcp://0.0.0.0:3000)", "till"),
        ("/usr/bin/ruby", "/", "sidekiq 7.2.0 till [0 of 10 busy]", "till"),
        ("/usr/bin/ruby", "/srv/till", "sidekiq 7.2.0 [0 of 10 busy]", "till"),
        ("/usr/bin/ruby", "/srv/till", "unicorn master -c config/unicorn.rb", "till"),
        ("/usr/bin/ruby", "/", "Passenger RubyApp: /srv/till (production)", "till"),
        ("/usr/bin/node", "/srv/till", "npm start", "till"),
        ("/usr/bin/node", "/srv/till", "next-server (v14.1.0)", "till"),
        ("/usr/bin/node", "/", "node /srv/till/server.js", "till"),
        ("/usr/bin/node", "/", "PM2 v5.3.0: God Daemon (/root/.pm2)", "pm2"),
        ("/usr/sbin/php-fpm8.2", "/", "php-fpm: pool till", "till"),
        ("/usr/sbin/php-fpm8.2", "/", "php-fpm: pool www", "php-fpm"),
        (
            "/usr/sbin/php-fpm8.2",
            "/",
            "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)",
            "php-fpm",
        ),
    ] {
        let facts = ProcessFacts {
            exe: exe.into(),
            directory: directory.into(),
            arguments: vec![title.to_owned()],
            ..ProcessFacts::default()
        };
        assert_eq!(name(&facts, &Environment::default(), None), expected, "{title}");
    }
}

#[test]
fn the_environment_wins_then_the_unit() {
    let environment = Environment { attributes: vec![("service.name".into(), "cash".into())] };
    let facts = facts("/usr/bin/python3", "/srv", "python3 shop/app.py");
    let nothing = Environment::default();
    assert_eq!(name(&facts, &environment, Some("till")), "cash");
    assert_eq!(name(&facts, &nothing, Some("till")), "till");
    let agent = ["java", "-Dotel.service.name=cash", "-jar", "a.jar"].map(str::to_owned).to_vec();
    let java = ProcessFacts { exe: "/usr/bin/java".into(), arguments: agent, ..facts.clone() };
    assert_eq!(name(&java, &nothing, Some("till")), "cash");
    assert_eq!(name(&facts, &nothing, Some("gunicorn")), "shop");
    assert_eq!(name(&facts, &nothing, None), "shop");
}

#[test]
fn a_container_names_what_does_not_name_itself() {
    for (exe, directory, line, expected) in [
        ("/usr/local/bin/node", "/app", "node server.js", "web"),
        ("/usr/local/bin/python3.11", "/app", "python3 main.py", "web"),
        ("/usr/local/bin/python3.11", "/app", "python3 worker.py", "web"),
        ("/opt/java/bin/java", "/app", "java -jar app.jar", "web"),
        ("/app/server", "/app", "./server", "web"),
        // What has a name keeps it: a container may run more than one thing.
        ("/usr/sbin/nginx", "/", "nginx -g daemon off;", "nginx"),
        ("/usr/local/bin/node", "/srv/till", "node server.js", "till"),
        ("/opt/java/bin/java", "/app", "java -jar billing-1.2.jar", "billing"),
    ] {
        let facts = ProcessFacts { container_name: "web".into(), ..facts(exe, directory, line) };
        assert_eq!(name(&facts, &Environment::default(), None), expected, "{line}");
    }
}

#[test]
fn the_least_known_is_the_task_name() {
    let facts = ProcessFacts { comm: "till".into(), ..ProcessFacts::default() };
    assert_eq!(name(&facts, &Environment::default(), None), "till");
    assert_eq!(name(&ProcessFacts::default(), &Environment::default(), None), "");
}

#[test]
fn wrappers_are_told_from_what_they_start() {
    for (exe, line, expected) in [
        ("/usr/bin/bash", "bash run.sh", true),
        ("/usr/bin/tini", "tini -- node server.js", true),
        ("/usr/bin/node", "node /usr/bin/npm start", true),
        ("/usr/bin/node", "node server.js", false),
        ("/usr/sbin/nginx", "nginx -g x", false),
        ("/usr/bin/python3", "python3 app.py", false),
    ] {
        assert_eq!(is_wrapper(&facts(exe, "/", line)), expected, "{line}");
    }
    let title = ProcessFacts {
        exe: "/usr/bin/node".into(),
        arguments: vec!["npm start".into()],
        ..ProcessFacts::default()
    };
    assert!(is_wrapper(&title));
}

#[test]
fn languages() {
    for (exe, expected) in [
        ("/usr/bin/python3.11", "python"),
        ("/usr/bin/node", "nodejs"),
        ("/usr/sbin/nginx", "unknown"),
    ] {
        assert_eq!(language(&facts(exe, "/", "x")), expected);
    }
}

proptest::proptest! {
    #[test]
    fn any_command_line_has_a_name(
        runtime in 0..RUNTIMES.len(),
        arguments in proptest::collection::vec("[-a-z.:/=\\[\\]()éW]{0,12}", 0..6),
        directory in "[a-z/.]{0,12}",
    ) {
        let facts = ProcessFacts {
            exe: format!("/usr/bin/{}", RUNTIMES[runtime].0),
            arguments,
            directory,
            ..ProcessFacts::default()
        };
        let name = name(&facts, &Environment::default(), None);
        proptest::prop_assert!(!name.is_empty());
    }
}
