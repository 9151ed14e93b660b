// Two OpenDHT nodes in one process, driven over standard input: one puts
// values, the other gets them. All times are taken around the library's own
// calls, so nothing but the network of nodes is measured.
//
//   opendht BOOTSTRAP-PORT VALUE-BYTES
//
//   in   nodes           out  "nodes GOOD-OF-PUTTER GOOD-OF-GETTER"
//        put N GAP-US         N × "put DONE-US OK": until the library calls the
//                             put complete; a random key each
//        get N GAP-US         N × "get FIRST-US DONE-US OK": of the oldest keys
//                             that were put and not got yet, until the first
//                             value and until the library calls the get complete
//
// Built against Debian's libopendht-dev: c++ -std=c++17 -O2 opendht.cc -lopendht
#include <opendht.h>

#include <chrono>
#include <deque>
#include <future>
#include <iostream>
#include <random>
#include <string>
#include <thread>

using Clock = std::chrono::steady_clock;

static long micros(Clock::time_point since) {
	return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - since).count();
}

static void start(dht::DhtRunner& node, const char* port) {
	dht::DhtRunner::Config config;
	config.threaded = true;
	config.bind4 = dht::SockAddr::resolve("127.0.0.1", "0").at(0);
	node.run(config, {});
	node.bootstrap("127.0.0.1", port);
}

static unsigned good(dht::DhtRunner& node) {
	return node.getNodesStats(AF_INET, nullptr, nullptr, nullptr, nullptr);
}

int main(int argc, char** argv) {
	if (argc != 3) {
		std::cerr << "usage: opendht BOOTSTRAP-PORT VALUE-BYTES\n";
		return 2;
	}
	const size_t size = std::stoul(argv[2]);
	std::mt19937_64 random{std::random_device{}()};
	dht::DhtRunner putter, getter;
	start(putter, argv[1]);
	start(getter, argv[1]);
	std::deque<dht::InfoHash> keys;

	auto put = [&] {
		std::vector<uint8_t> data(size);
		for (auto& b : data)
			b = static_cast<uint8_t>(random());
		auto key = dht::InfoHash::getRandom();
		auto done = std::make_shared<std::promise<bool>>();
		auto ended = done->get_future();
		auto began = Clock::now();
		putter.put(key, std::make_shared<dht::Value>(std::move(data)), [done](bool ok) { done->set_value(ok); });
		bool ok = ended.get();
		std::cout << "put " << micros(began) << ' ' << ok << '\n';
		if (ok)
			keys.push_back(key);
	};
	auto get = [&] {
		if (keys.empty()) {
			std::cout << "get 0 0 0\n";
			return;
		}
		auto key = keys.front();
		keys.pop_front();
		auto done = std::make_shared<std::promise<bool>>();
		auto ended = done->get_future();
		auto first = std::make_shared<std::atomic<long>>(0);
		auto began = Clock::now();
		getter.get(key,
			[first, began](const std::vector<std::shared_ptr<dht::Value>>& values) {
				long none = 0;
				if (!values.empty())
					first->compare_exchange_strong(none, micros(began));
				return true; // go on until it is complete
			},
			[done](bool ok) { done->set_value(ok); });
		bool ok = ended.get();
		long complete = micros(began);
		std::cout << "get " << *first << ' ' << complete << ' ' << (ok && *first > 0) << '\n';
	};

	for (std::string what; std::cin >> what;) {
		if (what == "nodes") {
			std::cout << "nodes " << good(putter) << ' ' << good(getter) << std::endl;
			continue;
		}
		long n = 0, gap = 0;
		std::cin >> n >> gap;
		for (long i = 0; i < n; i++) {
			if (what == "put")
				put();
			else
				get();
			std::this_thread::sleep_for(std::chrono::microseconds(gap));
		}
		std::cout.flush();
	}
	putter.join();
	getter.join();
}
