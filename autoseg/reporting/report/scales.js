/* Axes: from values to pixels, and where the ticks stand. */

/* Costs over more than a factor of 10 get a logarithmic axis. */
function makeScale(values, start, end) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  const isLog = low > 0 && high > 10 * low;
  const to = isLog ? Math.log10 : (value) => value;
  const margin = 0.1 * (to(high) - to(low)) || 0.1 * Math.abs(to(high)) || 1;
  const first = to(low) - margin;
  const last = to(high) + margin;
  const place = (value) => start + ((to(value) - first) / (last - first)) * (end - start);
  return { place, ticks: isLog ? logTicks(first, last) : linearTicks(first, last), start, end };
}

function linearTicks(first, last) {
  const rough = (last - first) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const ticks = [];
  for (let i = Math.ceil(first / step); i * step <= last; i += 1) ticks.push(i * step);
  return ticks;
}

function logTicks(first, last) {
  const steps = last - first > 3 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(first); power <= last; power += 1) {
    for (const step of steps) ticks.push(step * 10 ** power);
  }
  return ticks.filter((tick) => Math.log10(tick) >= first && Math.log10(tick) <= last);
}

function numberText(value) {
  return String(Number(value.toPrecision(4)));
}

function axisTitle(axis) {
  return axis.unit ? axis.heading + " (" + axis.unit + ")" : axis.heading;
}

/* The points that no other one beats, the best across first. `good` is +1 or -1 for each axis. */
function frontOf(points, goodX, goodY) {
  const order = [...points].sort(
    (a, b) => goodX * (b.x - a.x) || goodY * (b.y - a.y)
  );
  const front = [];
  for (const point of order) {
    const last = front[front.length - 1];
    const isEqual = last && point.x === last.x && point.y === last.y;
    if (!last || isEqual || goodY * (point.y - last.y) > 0) front.push(point);
  }
  return front;
}
