"use strict";
// The functions of the formula language on arrays {shape, data}, with NumPy's meaning; a number is an array without axes.
const formulas = (() => {
  const size = (shape) => shape.reduce((product, n) => product * n, 1);
  const array = (shape, data) => ({ shape, data });
  const of = (a) => (typeof a === "number" ? array([], [a]) : a);
  const end = (a) => of(a).shape.at(-1) ?? 1;
  const filled = (shape, make) => array(shape, Array.from({ length: size(shape) }, (_, i) => make(i)));
  const fits = (holds, message) => { if (!holds) throw new RangeError(message); };

  // Of each number of an array of this shape, the place in an array that is repeated along missing axes and axes of 1.
  function places(shape, small) {
    const offset = shape.length - small.length;
    let found = [0];
    let stride = size(small);
    shape.forEach((n, axis) => {
      const own = axis < offset ? 1 : small[axis - offset];
      fits(own === n || own === 1, `shapes (${small}) and (${shape}) do not fit`);
      stride /= own;
      const next = [];
      for (const start of found) for (let i = 0; i < n; i++) next.push(start + (own === 1 ? 0 : i * stride));
      found = next;
    });
    return found;
  }
  function common(...shapes) {
    const axes = Math.max(...shapes.map((shape) => shape.length));
    return Array.from({ length: axes }, (_, i) =>
      shapes.reduce((n, shape) => { const own = shape[shape.length - axes + i] ?? 1; return own === 1 ? n : own; }, 1));
  }
  function spread(a, like) {
    const { shape, data } = of(a);
    return array(like.shape, places(like.shape, shape).map((i) => data[i]));
  }
  const each = (f) => (a) => array(of(a).shape, of(a).data.map((v) => f(v)));
  const pair = (f) => (a, b) => {
    [a, b] = [of(a), of(b)];
    const shape = common(a.shape, b.shape);
    const [one, other] = [places(shape, a.shape), places(shape, b.shape)];
    return array(shape, one.map((i, k) => f(a.data[i], b.data[other[k]])));
  };

  // null stands for zeros of any shape: what an array in time is taken to be before its equations are solved.
  const unlessNull = (f) => (a, b) => (a === null || b === null ? null : f(a, b));
  const add = (a, b) => (a === null ? b : b === null ? a : sum2(a, b));
  const subtract = (a, b) => (b === null ? a : a === null ? negative(b) : difference(a, b));
  const sum2 = pair((u, v) => u + v);
  const difference = pair((u, v) => u - v);
  const multiply = unlessNull(pair((u, v) => u * v));
  const divide = unlessNull(pair((u, v) => u / v));
  const power = pair((u, v) => u ** v);
  const negative = each((v) => -v);
  const test = (f) => pair((u, v) => Number(f(u, v)));
  const greater = test((u, v) => u > v);
  const less = test((u, v) => u < v);
  const greater_equal = test((u, v) => u >= v);
  const less_equal = test((u, v) => u <= v);
  const equal = test((u, v) => u === v);
  const not_equal = test((u, v) => u !== v);
  const maximum = pair((u, v) => (u > v || u !== u ? u : v));
  const minimum = pair((u, v) => (u < v || u !== u ? u : v));

  const abs = each(Math.abs);
  const cos = each(Math.cos);
  const cosh = each(Math.cosh);
  const exp = each(Math.exp);
  const expm1 = each(Math.expm1);
  const log = each(Math.log);
  const log1p = each(Math.log1p);
  const sign = each(Math.sign);
  const sin = each(Math.sin);
  const sinh = each(Math.sinh);
  const sqrt = each(Math.sqrt);
  const tanh = each(Math.tanh);
  const sigmoid = each((v) => { const e = Math.exp(-Math.abs(v)); return (v < 0 ? e : 1) / (1 + e); });
  const softplus = each((v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))));
  const log_cosh = each((v) => Math.abs(v) + Math.log1p(Math.expm1(-2 * Math.abs(v)) / 2));
  // erf x = 2 x e^(−x²) / √π · Σ (2x²)ⁿ / (1 · 3 · … · (2n + 1)): all terms are positive, so no digit is lost.
  const erf = each((v) => {
    if (Math.abs(v) > 6) return Math.sign(v);
    let term = (2 * v * Math.exp(-v * v)) / Math.sqrt(Math.PI);
    let total = 0;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total) && n < 400; n++) {
      total += term;
      term *= (2 * v * v) / (2 * n + 1);
    }
    return v === v ? total : v;
  });

  // A number of each group of places: groups(a, shape, f) gathers the numbers that fall on one place of the shape.
  function gathered(a, shape) {
    const found = Array.from({ length: size(shape) }, () => []);
    places(a.shape, shape).forEach((place, i) => found[place].push(a.data[i]));
    return found;
  }
  const added = (values) => values.reduce((total, v) => total + v, 0);
  const average = (values) => added(values) / values.length;
  const spreading = (values) => { const m = average(values); return average(values.map((v) => (v - m) ** 2)); };
  const largest = (values) => values.reduce((one, v) => (v > one || v !== v ? v : one), -Infinity);
  const over = (shapeOf, f, lasting = (shape) => shape) => (a) => {
    a = of(a);
    const kept = shapeOf(a.shape);
    return array(lasting(kept), gathered(a, kept).map(f));
  };
  const each_row = (shape) => [...shape.slice(0, -1), 1];
  const each_feature = (shape) => [...shape.slice(0, -1).map(() => 1), ...shape.slice(-1)];
  const each_channel = (shape) => shape.map((n, i) => (i === 0 || i === shape.length - 1 ? n : 1));
  const one_sample = (shape) => [1, ...shape.slice(1)];
  const tail = (shape) => shape.slice(1);
  const last_axis = (shape) => shape.slice(-1);
  const ends = (shape) => [shape[0], shape.at(-1)];
  const batch_sum = over(one_sample, added, tail);
  const batch_mean = over(one_sample, average, tail);
  const feature_sum = over(each_feature, added, last_axis);
  const feature_mean = over(each_feature, average, last_axis);
  const feature_variance = over(each_feature, spreading, last_axis);
  const row_sum = over(each_row, added);
  const row_mean = over(each_row, average);
  const row_max = over(each_row, largest);
  const row_variance = over(each_row, spreading);
  const place_mean = over(each_channel, average, ends);
  const place_max = over(each_channel, largest, ends);
  const total = over(() => [], added);
  const sum_like = (e, x) => {
    [e, x] = [of(e), of(x)];
    return over(() => x.shape, added)(array(e.shape, e.data));
  };
  const batch_size = (a) => a.shape[0];
  const feature_size = (a) => size(a.shape.slice(0, -1));
  const row_size = end;
  const log_row_sum_exp = (a) => { const top = row_max(a); return add(top, log(row_sum(exp(subtract(a, top))))); };
  const softmax = (a) => { const e = exp(subtract(a, row_max(a))); return divide(e, row_sum(e)); };
  const log_softmax = (a) => {
    const below = subtract(a, row_max(a));
    return subtract(below, log(row_sum(exp(below))));
  };

  const reshape = (a, shape) => {
    const known = size(shape.filter((n) => n >= 0));
    shape = shape.map((n) => (n < 0 ? size(a.shape) / known : n));
    fits(size(shape) === a.data.length, `an array of shape (${a.shape}) has no shape (${shape})`);
    return array(shape, a.data);
  };
  const shaped_like = (a, x) => reshape(of(a), x.shape);
  const rows = (a) => reshape(a, [-1, end(a)]);
  function permuted(a, axes) {
    const shape = axes.map((axis) => a.shape[axis]);
    const strides = a.shape.map((_, axis) => size(a.shape.slice(axis + 1)));
    let found = [0];
    axes.forEach((axis, i) => {
      found = found.flatMap((start) => Array.from({ length: shape[i] }, (_, k) => start + k * strides[axis]));
    });
    return array(shape, found.map((i) => a.data[i]));
  }
  const transposed = (a) => (a === null ? null : permuted(a, a.shape.map((_, i) => a.shape.length - 1 - i)));
  const turned = (a) => {
    const axes = a.shape.map((_, i) => i);
    return permuted(a, [...axes.slice(0, -2), axes.at(-1), axes.at(-2)]);
  };
  const matmul = unlessNull((a, b) => {
    const [n, k] = a.shape.slice(-2);
    const [inner, m] = b.shape.slice(-2);
    fits(k === inner, `matrices of shapes (${a.shape}) and (${b.shape}) do not fit`);
    const outer = common(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const [one, other] = [places(outer, a.shape.slice(0, -2)), places(outer, b.shape.slice(0, -2))];
    const data = [];
    one.forEach((left, at) => {
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < m; j++) {
          let found = 0;
          for (let l = 0; l < k; l++) found += a.data[(left * n + i) * k + l] * b.data[(other[at] * k + l) * m + j];
          data.push(found);
        }
      }
    });
    return array([...outer, n, m], data);
  });
  const step_products = (a, b) => matmul(transposed(rows(a)), rows(b));

  const columns = (a, start, stop) => {
    const n = end(a);
    return array([...a.shape.slice(0, -1), stop - start], a.data.filter((_, i) => i % n >= start && i % n < stop));
  };
  const into_columns = (a, start, stop, x) => {
    const [n, wide] = [end(x), spread(a, { shape: [...x.shape.slice(0, -1), stop - start] })];
    return array(x.shape, x.data.map((_, i) => {
      const j = i % n;
      return j >= start && j < stop ? wide.data[Math.floor(i / n) * (stop - start) + j - start] : 0;
    }));
  };
  const indicators = (a, classes) =>
    array([...a.shape.slice(0, -1), classes], a.data.flatMap((k) => Array.from({ length: classes }, (_, j) => Number(j === k))));
  const concat = (...parts) => {
    const outer = common(...parts.map((one) => one.shape.slice(0, -1)));
    const wide = parts.map((one) => spread(one, { shape: [...outer, end(one)] }));
    const data = [];
    for (let i = 0; i < size(outer); i++) {
      for (const one of wide) for (let j = 0; j < end(one); j++) data.push(one.data[i * end(one) + j]);
    }
    return array([...outer, wide.reduce((n, one) => n + end(one), 0)], data);
  };
  const beside = concat;
  const part = (a, k, count) =>
    a === null ? null : columns(a, (k * end(a)) / count, ((k + 1) * end(a)) / count);
  const split_heads = (a, heads) => {
    const [b, t, n] = a.shape;
    return permuted(reshape(a, [b, t, heads, n / heads]), [0, 2, 1, 3]);
  };
  const join_heads = (a) => reshape(permuted(a, [0, 2, 1, 3]), [a.shape[0], a.shape[2], -1]);
  function rotate(a, direction = 1) {
    const [steps, n] = a.shape.slice(2);
    const half = n / 2;
    return array(a.shape, a.data.map((v, i) => {
      const pair = (i % n) % half;
      const angle = (direction * (Math.floor(i / n) % steps)) / 10000 ** (pair / half);
      return i % n < half
        ? v * Math.cos(angle) - a.data[i + half] * Math.sin(angle)
        : a.data[i - half] * Math.sin(angle) + v * Math.cos(angle);
    }));
  }
  const rotate_back = (a) => rotate(a, -1);
  const up_to_now = (a) => {
    const [n, m] = a.shape.slice(-2);
    return array(a.shape, a.data.map((v, i) => (i % m <= Math.floor(i / m) % n ? v : 0)));
  };
  const not_later = (a) => {
    const [n, m] = a.shape.slice(-2);
    return array(a.shape, a.data.map((v, i) => (i % m <= Math.floor(i / m) % n ? v : -Infinity)));
  };

  // Steps along axis 1.
  const step_size = (a) => size(a.shape.slice(2));
  function moved(a, by, outside) { // where there is no such step: zeros, or a state of all samples
    if (a === null) return null;
    const steps = a.shape[1];
    const one = step_size(a);
    return array(a.shape, a.data.map((_, i) => {
      const from = (Math.floor(i / one) % steps) - by;
      if (from >= 0 && from < steps) return a.data[i - by * one];
      return outside === undefined ? 0 : outside.data[i % one];
    }));
  }
  const before = (a, outside) => moved(a, 1, outside);
  const after = (a, outside) => moved(a, -1, outside);
  const nth = (a, at) => {
    const [n, k] = [size(a.shape.slice(1)), of(at).data[0]];
    return array(a.shape.slice(1), a.data.slice(k * n, (k + 1) * n));
  };
  const stack = (...parts) => array([parts.length, ...parts[0].shape], parts.flatMap((one) => [...one.data]));
  const steps = (a, start, stop = a.shape[1]) => {
    const [one, all] = [step_size(a), a.shape[1]];
    const inside = (i) => Math.floor(i / one) % all >= start && Math.floor(i / one) % all < stop;
    return array([a.shape[0], stop - start, ...a.shape.slice(2)], a.data.filter((_, i) => inside(i)));
  };
  const into_steps = (d, start, x) => { // zeros like x, but for these steps
    const [one, own, all] = [step_size(x), d.shape[1], x.shape[1]];
    return array(x.shape, x.data.map((_, i) => {
      const t = (Math.floor(i / one) % all) - start;
      return t >= 0 && t < own ? d.data[(Math.floor(i / (one * all)) * own + t) * one + (i % one)] : 0;
    }));
  };
  const at_step = (a, t) => {
    const [n, steps] = a.shape;
    const one = step_size(a);
    const data = Array.from({ length: n * one }, (_, i) => a.data[(Math.floor(i / one) * steps + t) * one + (i % one)]);
    return array([n, ...a.shape.slice(2)], data);
  };
  const first = (a) => at_step(a, 0);
  const last = (a) => at_step(a, a.shape[1] - 1);
  const only_at = (d, h, t) => {
    const one = step_size(h);
    return array(h.shape, h.data.map((_, i) => {
      const row = Math.floor(i / one);
      return row % h.shape[1] === t ? d.data[Math.floor(row / h.shape[1]) * one + (i % one)] : 0;
    }));
  };
  const at_first = (d, h) => only_at(d, h, 0);
  const at_last = (d, h) => only_at(d, h, h.shape[1] - 1);
  const sinusoids = (a) => {
    const [steps, features] = a.shape.slice(1);
    return filled([steps, features], (i) => {
      const angle = Math.floor(i / features) / 10000 ** ((2 * Math.floor((i % features) / 2)) / features);
      return i % features % 2 ? Math.cos(angle) : Math.sin(angle);
    });
  };

  const take = (table, x) => {
    const n = end(table);
    fits(x.data.every((k) => Number.isInteger(k) && k >= 0 && k < table.shape[0]), "expected numbers of rows");
    return array([...x.shape, n], x.data.flatMap((k) => table.data.slice(k * n, (k + 1) * n)));
  };
  const sum_rows = (e, x, table) => {
    const n = end(table);
    const made = filled(table.shape, () => 0);
    x.data.forEach((k, i) => { for (let j = 0; j < n; j++) made.data[k * n + j] += e.data[i * n + j]; });
    return made;
  };
  const one_hot = (labels, classes) => {
    fits(labels.data.every((k) => Number.isInteger(k) && k >= 0 && k < classes), `expected labels from 0 to ${classes - 1}`);
    return array([...labels.shape, classes], labels.data.flatMap((k) => Array.from({ length: classes }, (_, j) => Number(j === k))));
  };
  // Columns k, k + n, k + 2n, … of a row, of which the first largest one wins.
  const pieces_of = (a, pieces) => {
    const n = end(a) / pieces;
    return filled([a.shape[0], n], (i) => {
      const start = Math.floor(i / n) * end(a) + (i % n);
      const values = Array.from({ length: pieces }, (_, k) => a.data[start + k * n]);
      return start + n * values.indexOf(largest(values));
    });
  };
  const largest_piece = (a, pieces) => {
    const found = pieces_of(a, pieces);
    return array(found.shape, found.data.map((i) => a.data[i]));
  };
  const to_largest = (e, z, pieces) => {
    const made = filled(z.shape, () => 0);
    pieces_of(z, pieces).data.forEach((place, i) => { made.data[place] = e.data[i]; });
    return made;
  };
  const halves = (x, weight) => {
    const [left, right] = weight.shape;
    return [columns(x, 0, left), columns(x, left, left + right)];
  };
  const pairs = (x, weight) => {
    const [u, v] = halves(x, weight);
    const [n, left, right] = [x.shape[0], end(u), end(v)];
    return reshape(multiply(reshape(u, [n, left, 1]), reshape(v, [n, 1, right])), [n, left * right]);
  };
  const from_pairs = (e, x, weight) => {
    const [u, v] = halves(x, weight);
    const [n, left, right] = [x.shape[0], end(u), end(v)];
    const whole = reshape(e, [n, left, right]);
    const of_left = reshape(row_sum(multiply(whole, reshape(v, [n, 1, right]))), [n, left]);
    const of_right = reshape(row_sum(turned(multiply(whole, reshape(u, [n, left, 1])))), [n, right]);
    return concat(of_left, of_right);
  };
  const group_mean = (e, groups) => {
    const [n, width] = [e.shape[0], end(e)];
    const cut = reshape(e, [n, -1, groups, width / groups]);
    return reshape(spread(over(() => [n, 1, groups, 1], average)(cut), cut), e.shape);
  };
  const over_places = (d, x) => {
    const share = reshape(d, x.shape.map((n, i) => (i === 0 || i === x.shape.length - 1 ? n : 1)));
    return spread(divide(share, size(x.shape) / size(d.shape)), x);
  };
  const to_winner = (d, x) => {
    const met = new Set();
    const top = places(x.shape, each_channel(x.shape));
    const most = gathered(x, each_channel(x.shape)).map(largest);
    return array(x.shape, x.data.map((v, i) => {
      if (v !== most[top[i]] || met.has(top[i])) return 0;
      met.add(top[i]);
      return d.data[top[i]];
    }));
  };

  // Images (B, H, W, C) and sequences (B, T, C). For each place of a window, the numbers of the image in it; -1 outside.
  const of_axes = (value, axes) => (Array.isArray(value) && axes > 1 ? value : Array(axes).fill(value));
  const indices = (sizes) =>
    sizes.reduce((all, n) => all.flatMap((index) => Array.from({ length: n }, (_, i) => [...index, i])), [[]]);
  function around(padding, n, reach, stride) {
    if (padding === "same") {
      const short = Math.max((Math.ceil(n / stride) - 1) * stride + reach - n, 0);
      return [Math.floor(short / 2), Math.ceil(short / 2)];
    }
    if (padding === "causal") return [reach - 1, 0];
    if (padding === "valid") return [0, 0];
    return Array.isArray(padding) ? padding : [padding, padding];
  }
  function laid(shape, window, stride, padding, dilation) {
    const axes = window.length;
    const along = window.map((k, i) => {
      const [n, s, d] = [shape[i], of_axes(stride, axes)[i], of_axes(dilation, axes)[i]];
      const reach = (k - 1) * d + 1;
      const [start, behind] = around(of_axes(padding, axes)[i], n, reach, s);
      return { n, s, d, start, count: Math.floor((n + start + behind - reach) / s) + 1 };
    });
    const counts = along.map((axis) => axis.count);
    const inside = (place, number) => {
      let found = 0;
      for (let i = 0; i < axes; i++) {
        const { n, s, d, start } = along[i];
        const at = place[i] * s + number[i] * d - start;
        if (at < 0 || at >= n) return -1;
        found = found * n + at;
      }
      return found;
    };
    const numbers = indices(window);
    return { counts, table: indices(counts).map((place) => numbers.map((number) => inside(place, number))) };
  }

  // Calls visit(place of the image, place of the output, place of the kernel) for each product of a convolution.
  function products(batch, image, channels, outputs, w, options, visit) {
    const axes = w.shape.length - 2;
    const [stride = 1, padding = "valid", dilation = 1, groups = 1] = options;
    const { counts, table } = laid(image, w.shape.slice(0, axes), stride, padding, dilation);
    const [own, pixels] = [channels / groups, size(image)];
    for (let b = 0; b < batch; b++) {
      table.forEach((window, place) => window.forEach((pixel, number) => {
        if (pixel < 0) return;
        for (let o = 0; o < outputs; o++) {
          const group = Math.floor((o * groups) / outputs);
          for (let c = 0; c < own; c++) {
            const [x, y] = [(b * pixels + pixel) * channels + group * own + c, (b * table.length + place) * outputs + o];
            visit(x, y, (number * own + c) * outputs + o);
          }
        }
      }));
    }
    return counts;
  }
  const correlate = (x, w, ...options) => {
    const data = [];
    const visit = (i, j, k) => { data[j] = (data[j] ?? 0) + x.data[i] * w.data[k]; };
    const counts = products(x.shape[0], x.shape.slice(1, -1), end(x), end(w), w, options, visit);
    const shape = [x.shape[0], ...counts, end(w)];
    return filled(shape, (i) => data[i] ?? 0);
  };
  const correlate_samples = (x, delta, w, ...options) => {
    const made = filled(w.shape, () => 0);
    const visit = (i, j, k) => { made.data[k] += x.data[i] * delta.data[j]; };
    products(x.shape[0], x.shape.slice(1, -1), end(x), end(delta), w, options, visit);
    return made;
  };
  const convolve = (delta, w, shape, ...options) => {
    const channels = w.shape.at(-2) * (options[3] ?? 1);
    const made = filled([delta.shape[0], ...shape.slice(1, -1), channels], () => 0);
    const visit = (i, j, k) => { made.data[i] += delta.data[j] * w.data[k]; };
    products(delta.shape[0], shape.slice(1, -1), channels, end(delta), w, options, visit);
    return made;
  };

  // For each window of each channel: the places of the numbers in it, within the image.
  function windows(x, window, stride, padding = "valid") {
    const [axes, image, channels] = [x.shape.length - 2, x.shape.slice(1, -1), end(x)];
    const { counts, table } = laid(image, of_axes(window, axes), stride ?? window, padding, 1);
    const shape = [x.shape[0], ...counts, channels];
    const cells = [];
    for (let b = 0; b < x.shape[0]; b++) {
      for (const own of table) {
        const pixels = own.filter((pixel) => pixel >= 0);
        for (let c = 0; c < channels; c++) cells.push(pixels.map((pixel) => (b * size(image) + pixel) * channels + c));
      }
    }
    return { shape, cells };
  }
  const window_of = (f) => (x, ...options) => {
    const { shape, cells } = windows(x, ...options);
    return array(shape, cells.map((cell) => f(cell.map((i) => x.data[i]))));
  };
  const window_max = window_of(largest);
  const window_mean = window_of(average);
  const to_windows = (d, x, ...options) => {
    const made = filled(x.shape, () => 0);
    const share = (cell, i) => cell.forEach((j) => { made.data[j] += d.data[i] / cell.length; });
    windows(x, ...options).cells.forEach(share);
    return made;
  };
  const to_winners = (d, x, ...options) => {
    const made = filled(x.shape, () => 0);
    windows(x, ...options).cells.forEach((cell, i) => {
      const values = cell.map((j) => x.data[j]);
      made.data[cell[values.indexOf(largest(values))]] += d.data[i];
    });
    return made;
  };
  // Each number of an image of this shape, taken from a place of another one; 0 from outside.
  const moved_image = (e, rows_of, columns_of, from) => {
    const [n, height, width, channels] = e.shape;
    const pixels = indices([n, rows_of(height), columns_of(width)]).flatMap(([b, i, j]) => {
      const [u, v] = from(i, j);
      const inside = u >= 0 && u < height && v >= 0 && v < width;
      const start = ((b * height + u) * width + v) * channels;
      return Array.from({ length: channels }, (_, c) => (inside ? e.data[start + c] : 0));
    });
    return array([n, rows_of(height), columns_of(width), channels], pixels);
  };
  const border = (padding) => of_axes(padding, 2).map((one) => around(one, 1, 1, 1));
  const pad = (x, padding) => {
    const [[above, below], [left, right]] = border(padding);
    return moved_image(x, (n) => n + above + below, (n) => n + left + right, (i, j) => [i - above, j - left]);
  };
  const crop = (d, padding) => {
    const [[above, below], [left, right]] = border(padding);
    return moved_image(d, (n) => n - above - below, (n) => n - left - right, (i, j) => [i + above, j + left]);
  };
  const upsample = (x, factor) => {
    const [r, c] = of_axes(factor, 2);
    return moved_image(x, (n) => n * r, (n) => n * c, (i, j) => [Math.floor(i / r), Math.floor(j / c)]);
  };
  const block_sum = (d, factor) => {
    const [r, c] = of_axes(factor, 2);
    return indices([r, c])
      .map(([u, v]) => moved_image(d, (n) => n / r, (n) => n / c, (i, j) => [i * r + u, j * c + v]))
      .reduce((one, other) => add(one, other));
  };

  return {
    abs, add, after, at_first, at_last, batch_mean, batch_size, batch_sum, before, beside, block_sum, columns, concat,
    convolve, correlate, correlate_samples, cos, cosh, crop,
    divide, equal, erf, exp, expm1, feature_mean, feature_size, feature_sum, feature_variance, first, from_pairs, greater,
    greater_equal, group_mean, indicators, into_columns, into_steps, join_heads, largest_piece, last, less, less_equal, log, log1p, log_cosh, log_row_sum_exp,
    log_softmax, matmul, maximum, minimum, multiply, negative, not_equal, not_later, nth, one_hot, over_places, pad, pairs,
    part, place_max, place_mean, power, reshape, rotate, rotate_back, row_max, row_mean, row_size, row_sum, row_variance,
    rows, shaped_like, sigmoid, sign, sin, sinh, sinusoids, softmax, softplus, split_heads, spread, sqrt, stack,
    step_products, steps, subtract, sum_like, sum_rows, take, tanh, to_largest, to_windows, to_winner, to_winners, total,
    transposed, turned, up_to_now, upsample, window_max, window_mean,
  };
})();
