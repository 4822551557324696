-- Builds the requests of a scenario for wrk, and prints the figures of a run as one line of JSON.

-- A prime, so that the connections don't come round to the same cookie in step.
local VARIANTS = 4093

-- wrk runs this before the load: a global `request` makes it ask for each request, otherwise it sends one text always.
function init(args)
  if args[1] ~= "browser" then return end
  local texts = {}
  for i = 1, VARIANTS do
    texts[i] = table.concat({
      "GET " .. wrk.path .. " HTTP/1.1",
      "Host: " .. wrk.headers["Host"],
      "Connection: keep-alive",
      'sec-ch-ua: "Chromium";v="142", "Not)A;Brand";v="24", "Google Chrome";v="142"',
      "sec-ch-ua-mobile: ?0",
      'sec-ch-ua-platform: "Linux"',
      "Upgrade-Insecure-Requests: 1",
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
      "Sec-Fetch-Site: same-origin",
      "Sec-Fetch-Mode: navigate",
      "Sec-Fetch-Dest: document",
      "Referer: http://" .. wrk.headers["Host"] .. "/catalogue/page-" .. i,
      "Accept-Encoding: gzip, deflate, br, zstd",
      "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
      string.format("Cookie: sid=%08x%08x%08x; theme=dark; cart=%d; _ga=GA1.1.%d.%d",
        i * 2654435761 % 4294967296, i * 40503 % 4294967296, i * 2246822519 % 4294967296,
        i % 97, i * 7919, 1700000000 + i),
      "",
      "",
    }, "\r\n")
  end
  local next = 0
  request = function()
    next = next % VARIANTS + 1
    return texts[next]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"micros":%d,"bytes":%d,"p50Micros":%d,"p99Micros":%d,' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.timeout, e.status))
end
